"""Faust shows to the brokers what the other clients do."""

from pathlib import Path

import faust
import pytest
from faust.types.auth import AuthProtocol, SASLMechanism
from pydantic import SecretStr

from auditor.credentials import broker_credentials
from rowstream.errors import Fatal
from rowstream.runtime.settings import KafkaSettings


def test_without_tls_and_sasl_there_are_none() -> None:
    assert broker_credentials(KafkaSettings(username="me", password=SecretStr("secret"))) is None


def test_tls_alone_checks_the_brokers_name() -> None:
    found = broker_credentials(KafkaSettings(security_protocol="ssl"))
    assert isinstance(found, faust.SSLCredentials)
    assert found.protocol == AuthProtocol.SSL
    assert found.context.check_hostname


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
def test_a_name_and_a_password_go_with_sasl(mechanism: str, protocol: str) -> None:
    settings = KafkaSettings.model_validate(
        {"security_protocol": protocol, "sasl_mechanism": mechanism, "username": "me", "password": "secret"}
    )
    found = broker_credentials(settings)
    assert isinstance(found, faust.SASLCredentials)
    assert (found.protocol.value, found.mechanism) == (protocol.upper(), SASLMechanism(mechanism))
    assert (found.username, found.password) == ("me", "secret")
    assert (found.ssl_context is not None) == (protocol == "sasl_ssl")
    assert "secret" not in repr(found)


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "no certificate").write_text("")
    for file in ("nowhere.pem", "no certificate"):
        with pytest.raises(Fatal, match="ROWSTREAM_KAFKA__CA_FILE"):
            broker_credentials(KafkaSettings(security_protocol="ssl", ca_file=str(tmp_path / file)))
