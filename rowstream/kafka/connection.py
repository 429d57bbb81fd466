"""How every client of ours reaches the brokers: the addresses, TLS, name and password."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rowstream.runtime.settings import KafkaSettings


def connection_config(settings: "KafkaSettings") -> dict[str, str]:
    """The part of a client's configuration that says how to connect; it holds the password, so it is never logged."""
    config: dict[str, str] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("ssl"):
        files = {
            "ssl.ca.location": settings.ca_file,
            "ssl.certificate.location": settings.certificate_file,
            "ssl.key.location": settings.key_file,
        }
        config |= {name: file for name, file in files.items() if file}
    if settings.security_protocol.startswith("sasl"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"] = settings.username or ""
        config["sasl.password"] = settings.password.get_secret_value() if settings.password else ""
    return config
