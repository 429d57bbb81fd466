"""The world of one run: Apache Kafka, Postgres, an object store, the four services, and the lines between them.

The services are those of production, with less patience: sessions, leases and stalls end after seconds, so that a fault
costs seconds. They go on from fault to fault.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from rowstream.database.connection import make_engine
from rowstream.database.keys import DEFAULT_ORGANIZATION, make_key
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.fault.lines import Hub, Line
from tests.fault.plan import AUDITOR, GATEWAY, PROCESSOR, SERVERS, SPLITTER
from tests.fault.service import Service, Supervisor
from tests.fault.small_disk import SmallDisk, small_disk

T = TypeVar("T")

SESSION_SECONDS = 3.0
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ingest_gateway": GATEWAY,
        "splitter-1": SPLITTER,
        "splitter-2": SPLITTER,
        "record_processor-1": PROCESSOR,
        "record_processor-2": PROCESSOR,
        "auditor": AUDITOR,
    }
)
"""The processes of the services; two where one is to go on when the other is frozen."""
STRANGER = "stranger"
"""A login of the database that is nobody's: an ordinary one, not a superuser's."""
SPARE = "record_processor-3"
"""A further processor, started by faults that want one."""
_QUICK = {
    "KAFKA__SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
    "KAFKA__DELIVERY_TIMEOUT_MS": "4000",
    "SPLITTER__LEASE_SECONDS": "4",
    "SPLITTER__HEARTBEAT_SECONDS": "0.5",
    "SPLITTER__POLL_SECONDS": "0.5",
    "SPLITTER__STALL_SECONDS": "6",
    "SPLITTER__CHUNK_RECORDS": "200",
    "SPLITTER__WINDOW_CHUNKS": "12",
    "SPLITTER__LANE_BYTES": "300000",
    "SPLITTER__BLOCK_BYTES": "131072",
    "PROCESSOR__BATCH_CHUNKS": "4",
    "PROCESSOR__LOCK_PATIENCE_SECONDS": "3",
    "SPLITTER__SCHEMA_PATIENCE_SECONDS": "2",
    "PROCESSOR__SCHEMA_PATIENCE_SECONDS": "2",
    "AUDITOR__UNKNOWN_SCHEMA_SECONDS": "2",
    "AUDITOR__RECONCILE_SECONDS": "1",
    "AUDITOR__GRACE_SECONDS": "3",
    "AUDITOR__UNCLAIMED_SECONDS": "5",
}
_POSTGRES = {"max_wal_size": "128MB", "max_connections": "100"}
_READY_SECONDS = 120.0
_DISK_MB = 700


@dataclass
class World:
    """All parts of a running system, and what a fault can do to them."""

    folder: Path
    postgres: servers.Postgres
    kafka: servers.ApacheKafka
    store: servers.Server
    disks: Mapping[str, SmallDisk]
    lines: Mapping[tuple[str, str], Line]
    services: dict[str, Service]
    supervisor: Supervisor
    database: str
    other_organization: UUID
    keys: tuple[str, ...] = field(repr=False)
    _kept: psycopg.Connection[Any] | None = None

    @property
    def orders(self) -> Path:
        """Where orders to the services' processes are put."""
        return self.folder / "orders"

    @property
    def gateway(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.services['ingest_gateway'].port}"

    def of(self, module: str) -> list[Service]:
        """The running processes of a service."""
        return [service for service in self.services.values() if service.module == module and service.wanted]

    def lines_to(self, server: str, *modules: str) -> list[Line]:
        """The lines to one server: those of some services, or of all."""
        return [
            line
            for (name, to), line in self.lines.items()
            if to == server and (not modules or module_of(name) in modules)
        ]

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Rows of the database, asked for directly; waits while it is away."""
        return self._patiently(lambda: self._connection().execute(statement.encode(), values).fetchall())

    def execute(self, statement: str, *values: Any) -> None:
        """Change something in the database, directly; waits while it is away."""
        self._patiently(lambda: self._connection().execute(statement.encode(), values))

    def let_go(self) -> None:
        """Close what is kept open."""
        if self._kept is not None:
            self._kept.close()

    def _patiently(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                return ask()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _connection(self) -> psycopg.Connection[Any]:
        """One that is kept: to ask often must cost the system under test nothing."""
        if self._kept is None or self._kept.closed:
            self._kept = psycopg.connect(
                self.database, autocommit=True, connect_timeout=5, row_factory=namedtuple_row, prepare_threshold=None
            )
        return self._kept

    def end_sessions(self) -> None:
        """End every session of the services in the database."""
        self.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'rowstream-%%'")

    def objects(self) -> S3Store:
        """The object store, reached directly."""
        return S3Store(servers.storage_settings(self.store))

    def wait_until_ready(self, seconds: float = _READY_SECONDS) -> list[str]:
        """Wait until every service is ready; what is not by then."""
        deadline = time.monotonic() + seconds
        while True:
            waiting = [
                f"{service.name} waits for {', '.join(waiting_for) or 'itself'}"
                for service in self.services.values()
                if service.wanted
                and (answer := service.readiness())[0] != 200
                and (waiting_for := answer[1]) is not None
            ]
            if not waiting or time.monotonic() > deadline:
                return waiting
            time.sleep(0.05)

    def replace(self, *replaced: Service, extra: Mapping[str, str] = MappingProxyType({})) -> None:
        """Have processes leave and others come, with these variables of the environment besides."""
        for service in replaced:
            service.wanted = False
            service.send(signal.SIGTERM)
        for service in replaced:
            self.supervisor.end(service)
            service.extra = dict(extra)
            self.supervisor.start(service)
        names = ", ".join(service.name for service in replaced)
        servers.until(
            lambda: all(service.readiness()[0] == 200 for service in replaced),
            seconds=_READY_SECONDS,
            what=f"readiness of {names}",
        )

    def start_anew(self, extra: Mapping[str, Mapping[str, str]] = MappingProxyType({})) -> None:
        """End all services, empty the tables, and start them, each with the variables that `extra` has for it."""
        for service in self.services.values():
            self.supervisor.end(service, signal.SIGKILL)
        self.forget_uploads()
        for name in NAMES:
            self.services[name].extra = dict(extra.get(module_of(name), {}))
            self.supervisor.start(self.services[name])
        waiting = self.wait_until_ready()
        assert not waiting, f"the services do not start: {waiting}"

    def heal(self) -> None:
        """Undo whatever a fault has left behind that ended in the middle."""
        for disk in self.disks.values():
            disk.empty()
        for line in self.lines.values():
            line.restore()
        for server in (self.kafka, self.postgres):
            if server.process is None or server.process.poll() is not None:
                server.kill()
                server.start()
        self.supervisor.end(self.services[SPARE], signal.SIGKILL)
        for name in NAMES:
            service = self.services[name]
            service.send(signal.SIGCONT)
            if service.extra or not service.wanted:
                self.replace(service)

    def forget_uploads(self) -> None:
        """Empty the tables of what has ended, so that a long run stays quick; only while nothing is under way."""
        self.execute(
            "TRUNCATE member_certifications, batch_uploads, batch_upload_audit_logs, batch_upload_errors,"
            " held_records, upload_splits, upload_lanes, upload_control, processed_chunks, chunk_attempts,"
            " dead_letters, outbox"
        )


def module_of(name: str) -> str:
    """The service that a process of this name runs."""
    return name.partition("-")[0]


@contextmanager
def world(*, keep: Path | None = None) -> Iterator[World]:
    """A world, from the first start to the last stop; `keep` takes the logs of all parts at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rowstream-fault-")))
        folder.chmod(0o755)
        if keep:
            stack.callback(_keep_logs, folder, keep)
        disks = {name: stack.enter_context(small_disk(folder / f"disk-{name}", _DISK_MB)) for name in SERVERS[:2]}
        postgres = stack.enter_context(servers.postgres_server(folder, disk=disks["postgres"].path, settings=_POSTGRES))
        store = stack.enter_context(servers.versitygw_server(folder))
        names = (*NAMES, SPARE)
        doors = {name: (servers.free_port(), servers.free_port()) for name in names}
        kafka = stack.enter_context(
            servers.kafka_server(
                folder, data=disks["kafka"].path / "log", doors={_door(n): d for n, d in doors.items()}
            )
        )
        database = stack.enter_context(postgres.fresh_database())
        hub = Hub()
        stack.callback(hub.close)
        lines = _lines(hub, names, doors, {"postgres": postgres.port, "store": store.port})
        services = {name: _service(name, folder, lines, database.rpartition("/")[2], store) for name in names}
        supervisor = Supervisor(services)
        stack.callback(supervisor.close)
        other = servers.make_organization(database, "other")
        keys = _keys(database, DEFAULT_ORGANIZATION, other)
        made = World(folder, postgres, kafka, store, disks, lines, services, supervisor, database, other, keys)
        stack.callback(made.let_go)
        made.orders.mkdir()
        made.execute(f"CREATE ROLE {STRANGER} LOGIN")
        for name in NAMES:
            supervisor.start(services[name])
        waiting = made.wait_until_ready()
        assert not waiting, f"the system does not start: {waiting}"
        yield made


def _keep_logs(folder: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, keep)


def _keys(database: str, *organizations: UUID) -> tuple[str, ...]:
    engine = make_engine(database, service="tests", pool_size=1)
    with engine.begin() as connection:
        keys = tuple(make_key(connection, organization, "faults") for organization in organizations)
    engine.dispose()
    return keys


def _door(name: str) -> str:
    return name.replace("_", "").replace("-", "").upper()


def _lines(
    hub: Hub, names: tuple[str, ...], doors: Mapping[str, tuple[int, int]], ports: Mapping[str, int]
) -> dict[tuple[str, str], Line]:
    lines = {(name, "kafka"): hub.line(advertised, door) for name, (door, advertised) in doors.items()}
    for name in names:
        for server, port in ports.items():
            lines[name, server] = hub.line(servers.free_port(), port)
    return lines


def _service(
    name: str,
    folder: Path,
    lines: Mapping[tuple[str, str], Line],
    database: str,
    store: servers.Server,
) -> Service:
    module = module_of(name)
    storage = servers.storage_settings(store)
    secret = storage.secret_access_key
    port = servers.free_port()
    settings = {
        **_QUICK,
        "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{lines[name, 'kafka'].port}",
        "DATABASE__URL": f"postgresql://postgres@127.0.0.1:{lines[name, 'postgres'].port}/{database}",
        "STORAGE__ENDPOINT_URL": f"http://127.0.0.1:{lines[name, 'store'].port}",
        "STORAGE__ACCESS_KEY_ID": storage.access_key_id or "",
        "STORAGE__SECRET_ACCESS_KEY": secret.get_secret_value() if secret else "",
        "STORAGE__PRESIGNED_POST": "false",
        "HTTP__PORT": str(port),
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ROWSTREAM_")}
    environment = inherited | {f"ROWSTREAM_{key}": value for key, value in settings.items()}
    environment |= {"FAULT_ORDERS": str(folder / "orders" / module), "POLARS_MAX_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path.cwd())
    return Service(name, module, folder, environment, port)
