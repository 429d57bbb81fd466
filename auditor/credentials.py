"""What Faust shows to the brokers; the other clients of the system read the same settings."""

import ssl

import faust
from faust.types.auth import CredentialsT

from rowstream.errors import Fatal
from rowstream.runtime.settings import KafkaSettings


def broker_credentials(settings: KafkaSettings) -> CredentialsT | None:
    """Credentials for Faust; None where the brokers want none.

    Raises:
        Fatal: a file of certificates cannot be read.
    """
    context = _tls(settings) if settings.security_protocol.endswith("ssl") else None
    if settings.security_protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:  # ssl's own errors are among these
        raise Fatal(
            f"the certificates for the brokers cannot be read ({error}); look at ROWSTREAM_KAFKA__CA_FILE, "
            "ROWSTREAM_KAFKA__CERTIFICATE_FILE and ROWSTREAM_KAFKA__KEY_FILE"
        ) from error
    return context
