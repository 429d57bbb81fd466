"""The world of one run: Apache Kafka, Postgres, an object store, the four services, and the lines between them.

The services are those of production, with less patience: sessions, leases and stalls end after seconds, so that a fault
costs seconds. They go on from fault to fault.
"""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from rowstream.storage.s3 import S3Store
from tests import servers
from tests.fault.lines import Line
from tests.fault.plan import AUDITOR, GATEWAY, PROCESSOR, SPLITTER
from tests.fault.service import Service, Supervisor
from tests.fault.small_disk import SmallDisk

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
WATCHED_FOLDER = (AUDITOR, "temporary")
"""The auditor's temporary files are on the database's disk, so that a service sees how full it is."""
_READY_SECONDS = 120.0


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

    def leave(self) -> list[Service]:
        """Have all services leave, none to be started again; which these were."""
        services = [service for service in self.services.values() if service.wanted]
        for service in services:
            service.wanted = False
            service.send(signal.SIGTERM)
        for service in services:
            service.end()
        return services

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
            " dead_letters, outbox, multipart_uploads"
        )


def module_of(name: str) -> str:
    """The service that a process of this name runs."""
    return name.partition("-")[0]
