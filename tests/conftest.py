"""Fixtures for every test that needs a real server; each pytest-xdist worker has servers of its own."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import httpx
import psutil
import pytest
import structlog

from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import S3Store
from tests import servers

_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux offers memory as files
_ROOM = 8 * 2**30


def pytest_configure() -> None:
    """Keep all files of the tests in memory where there is room, unless TMPDIR says where to.

    A thousand tests have a database of their own, of 900 files: made and dropped in 0.03 s there, in 0.2 s on disk.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return
    if min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available) > _ROOM:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None  # to be looked up anew


@pytest.fixture(autouse=True)
def _short_logs() -> Iterator[None]:
    """Log lines as JSON; structlog's own default draws stack traces with all their variables, which takes seconds.

    A test that sets up logging as a service does leaves nothing of it, and of its captured streams, to the next one.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Httpx reads the certificates of all authorities for each client, 50 ms of CPU; tests make thousands of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobody_ends_the_test_run() -> Iterator[None]:
    """A consumer that its broker left behind ends its process, which in a thread of a test is that of all tests."""

    def fail() -> NoReturn:
        pytest.fail("a consumer was left behind and would end its process: let the test run a process that may end")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rowstream.kafka.consumer.end_process", fail)
        patch.setattr("rowstream.kafka.clock.end_process", fail)
        yield


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """The embedded Postgres with a migrated template; do not stop it: for faults start one of your own."""
    with servers.postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """The oldest Postgres that is supported, with a migrated template; do not stop it."""
    with servers.postgres_server(tmp_path_factory.mktemp("postgres"), version=15) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(embedded_postgres: servers.Postgres) -> servers.Postgres:
    """A Postgres with a migrated template; do not stop it."""
    return embedded_postgres


@pytest.fixture
def database_url(postgres: servers.Postgres) -> Iterator[str]:
    """The address (as superuser) of a migrated database that only this test uses, with the default organization."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(scope="module")
def url(postgres: servers.Postgres) -> Iterator[str]:
    """As `database_url`, of a database that the tests of one file share."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Tansu]:
    """The embedded broker with all topics, shared by the session: expect others' messages, and do not stop it."""
    with servers.broker_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def broker(tansu: servers.Tansu) -> str:
    """The bootstrap servers of a broker with all topics, shared by the session: expect others' messages."""
    return tansu.address


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[servers.Broker]:
    """A broker that only this test uses, and may stop, kill and start; its topics are empty."""
    with servers.broker_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.ApacheKafka]:
    """An Apache Kafka with all topics, shared by the session: expect others' messages, and do not stop it."""
    with servers.kafka_server(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[servers.ApacheKafka]:
    """An Apache Kafka that only this test uses, and may stop, kill, start and rob of its log; its topics are empty."""
    with servers.kafka_server(tmp_path / "kafka") as server:
        yield server


@pytest.fixture(params=["tansu", "apache_kafka"])
def either_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Broker]:
    """The embedded broker, and again Apache Kafka: for what depends on how a broker keeps groups, offsets and its log.

    Only this test uses it, and may stop, kill, start and rob it of its log; its topics are empty.
    """
    folder = tmp_path / "broker"
    with servers.broker_server(folder) if request.param == "tansu" else servers.kafka_server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A strict S3 server with the bucket `rowstream`, shared by the session."""
    with servers.versitygw_server(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Redis]:
    """A Redis shared by the session: take names of your own, and do not stop it."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Sshd]:
    """A server for SFTP shared by the session: take files of your own, and do not stop it."""
    with servers.sshd_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def toxiproxy(tmp_path: Path) -> Iterator[servers.Toxiproxy]:
    """A proxy whose lines a test can cut, slow and mend."""
    with servers.toxiproxy_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def localbucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """The embedded object store with the bucket `rowstream`, shared by the session."""
    with servers.object_store_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture(scope="session")
def object_store(localbucket: servers.Server) -> servers.Server:
    """An S3 server with the bucket `rowstream`, shared by the session."""
    return localbucket


@pytest.fixture
def store_settings(object_store: servers.Server) -> StorageSettings:
    """How to reach the S3 server; presigned_post is off, as the embedded one has none."""
    return servers.storage_settings(object_store)


@pytest.fixture
def store(object_store: servers.Server) -> S3Store:
    """A client of the S3 server."""
    return servers.store_of(object_store)
