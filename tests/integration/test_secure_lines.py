"""TLS, names and passwords: to a real Apache Kafka from every client and from Faust, and to a real Postgres."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from rowstream.database.connection import retryable_errors
from rowstream.errors import Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.drift import look
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import TOPICS, UPLOADS, create_topics, topic_partitions
from rowstream.runtime.settings import KafkaSettings
from tests import servers
from tests.contract.kafka.support import take, values
from tests.engines import engine_of
from tests.integration.auditor.process import auditor_process
from tests.servers.certificates import Certificates, make_certificates
from tests.unit.cli.support import run

USER = "rowstream"
PASSWORD = "never-shown-1"  # noqa: S105 - of a server that lives as long as these tests
MECHANISMS = ["PLAIN", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a listener that wants TLS, and a name and a password."""
    port = servers.free_port()
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": _one_line(certificates.certificate),
        "ssl.keystore.key": _one_line(certificates.key),
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{plain} user_{USER}="{PASSWORD}";',
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
    }
    scram_user = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
    folder = tmp_path_factory.mktemp("secure")
    listeners = {"SASL_SSL": port}
    with servers.kafka_server(folder, listeners=listeners, properties=properties, format_options=scram_user):
        yield f"127.0.0.1:{port}"


def _one_line(file: Path) -> str:
    return "\\n".join(file.read_text().splitlines())


def settings(address: str, certificates: Certificates, **changes: Any) -> KafkaSettings:
    facts = {
        "bootstrap_servers": address,
        "delivery_timeout_ms": 20_000,
        "security_protocol": "sasl_ssl",
        "username": USER,
        "password": PASSWORD,
        "ca_file": str(certificates.authority),
    }
    return KafkaSettings.model_validate(facts | changes)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_our_clients_come_in_with_name_and_password(secure: str, certificates: Certificates, mechanism: str) -> None:
    kafka = settings(secure, certificates, sasl_mechanism=mechanism)
    assert create_topics(kafka) == []
    assert look(kafka, TOPICS).keys() == {topic.name for topic in TOPICS}
    producer = Producer(kafka)
    reports: list[str | None] = []
    producer.send(UPLOADS, mechanism.encode(), on_delivery=reports.append)
    assert producer.flush(30) == 0
    assert reports == [None]
    consumer = Consumer(kafka, group=f"secure-{mechanism}", topics=[UPLOADS])
    taken: list[bytes] = []
    while mechanism.encode() not in taken:
        taken += values(take(consumer, 1, seconds=60))
    consumer.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": SecretStr("wrong")}, r"SASL|[Aa]uthentication"),
        ({"ca_file": None}, r"SSL|certificate|verif"),
        ({"security_protocol": "plaintext"}, r"does not answer"),
    ],
)
def test_without_the_right_ones_nothing_is_answered_and_no_secret_is_told(
    secure: str, certificates: Certificates, change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowstream.kafka.topics.TIMEOUT_SECONDS", 3.0)
    wrong = settings(secure, certificates).model_copy(update=change)
    with pytest.raises(Retryable, match=told) as refusal:
        topic_partitions(wrong)
    assert PASSWORD not in str(refusal.value)
    assert PASSWORD not in repr(wrong)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_auditor_comes_in_too_and_logs_no_secret(
    secure: str, certificates: Certificates, mechanism: str, database_url: str, tmp_path: Path
) -> None:
    facts = {
        "KAFKA__SECURITY_PROTOCOL": "sasl_ssl",
        "KAFKA__SASL_MECHANISM": mechanism,
        "KAFKA__USERNAME": USER,
        "KAFKA__PASSWORD": PASSWORD,
        "KAFKA__CA_FILE": str(certificates.authority),
        "LOG__LEVEL": "debug",
    }
    with auditor_process(tmp_path, database=database_url, broker=secure, start=False, **facts) as auditor:
        auditor.start(wait=False)
        servers.until(lambda: auditor.readiness()[0] == 200, seconds=120, what="readiness of the auditor")
        assert auditor.leave() == 0
        assert PASSWORD not in auditor.log.read_text()


def test_the_command_reads_how_to_reach_the_broker_from_the_environment(
    secure: str, certificates: Certificates, tmp_path: Path
) -> None:
    environment = {
        "ROWSTREAM_KAFKA__SECURITY_PROTOCOL": "sasl_ssl",
        "ROWSTREAM_KAFKA__USERNAME": USER,
        "ROWSTREAM_KAFKA__PASSWORD": PASSWORD,
        "ROWSTREAM_KAFKA__CA_FILE": str(certificates.authority),
    }
    told = run("topics", "--broker", secure, "--state-dir", str(tmp_path), **environment)
    assert (told.code, told.err) == (0, "")
    assert PASSWORD not in told.out


def test_postgres_is_reached_by_tls_as_its_address_says(certificates: Certificates, tmp_path: Path) -> None:
    with servers.postgres_server(tmp_path, version=15, certificates=certificates) as postgres:
        with postgres.fresh_database() as url:
            trusting = f"{url}?sslmode=verify-full&sslrootcert={certificates.authority}"
            with engine_of(trusting, pool_size=1) as engine, engine.connect() as connection:
                query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                assert connection.exec_driver_sql(query).scalar() is True
            other = make_certificates(tmp_path / "other")
            with (
                engine_of(f"{url}?sslmode=verify-full&sslrootcert={other.authority}") as engine,
                pytest.raises(Retryable, match="certificate verify failed"),
                retryable_errors(),
                engine.connect(),
            ):
                pass
        with psycopg.connect(postgres.url("postgres"), sslmode="disable") as plain:
            assert plain.info.pgconn.ssl_in_use is False
