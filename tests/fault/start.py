"""Starts a world: the servers first, then the lines, then the services, and stops all of it in the end."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from rowstream.database.connection import make_engine
from rowstream.database.keys import DEFAULT_ORGANIZATION, make_key
from tests import servers
from tests.fault.hurry import FACTOR
from tests.fault.lines import Hub, Line
from tests.fault.plan import AUDITOR, SERVERS
from tests.fault.service import Service, Supervisor
from tests.fault.small_disk import small_disk
from tests.fault.world import NAMES, SESSION_SECONDS, SPARE, STRANGER, World, module_of

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
    "AUDITOR__STUCK_SECONDS": f"{60 / FACTOR:g}",
}
_POSTGRES = {"max_wal_size": "128MB", "max_connections": "100"}
_DISK_MB = 700


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
        services[AUDITOR].environment["TMPDIR"] = str(disks["postgres"].path)
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
