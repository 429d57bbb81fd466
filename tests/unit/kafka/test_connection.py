"""What clients are told of how to reach the brokers."""

from typing import Any

import pytest
from pydantic import SecretStr

from rowstream.kafka.connection import connection_config
from rowstream.runtime.settings import KafkaSettings

FILES = {"ca_file": "/ca.pem", "certificate_file": "/me.pem", "key_file": "/me.key"}
NAMED = {"username": "me", "password": SecretStr("secret")}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {}),
        (FILES | NAMED, {}),
        ({"security_protocol": "ssl"}, {}),
        (
            {"security_protocol": "ssl", **FILES},
            {"ssl.ca.location": "/ca.pem", "ssl.certificate.location": "/me.pem", "ssl.key.location": "/me.key"},
        ),
        (
            {"security_protocol": "sasl_plaintext", **NAMED, **FILES},
            {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "me", "sasl.password": "secret"},
        ),
        (
            {"security_protocol": "sasl_ssl", "sasl_mechanism": "PLAIN", "ca_file": "/ca.pem", **NAMED},
            {
                "ssl.ca.location": "/ca.pem",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "me",
                "sasl.password": "secret",
            },
        ),
    ],
)
def test_only_what_the_protocol_asks_for_is_told(given: dict[str, Any], told: dict[str, str]) -> None:
    settings = KafkaSettings(bootstrap_servers="a:1,b:2", **given)
    always = {"bootstrap.servers": "a:1,b:2", "security.protocol": settings.security_protocol}
    assert connection_config(settings) == always | told
