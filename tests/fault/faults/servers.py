"""Broker and database that die, forget, are full, or take no more connections."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg

from tests.fault.scene import Scene
from tests.fault.world import STRANGER
from tests.servers import Server

_AWAY_SECONDS = 2.0
_FULL_SECONDS = 3.0
_MOST_CONNECTIONS = 200


@contextmanager
def broker_killed(scene: Scene) -> Iterator[str]:
    """kill -9 of the broker, and its restart with its log."""
    scene.begin_and_wait()
    scene.world.kafka.kill()
    time.sleep(_AWAY_SECONDS)
    scene.world.kafka.start()
    yield _when(scene)


@contextmanager
def broker_log_lost(scene: Scene) -> Iterator[str]:
    """The broker dies, and comes back without messages, topics and offsets."""
    scene.begin_and_wait()
    scene.world.kafka.kill()
    scene.world.kafka.lose_log()
    scene.world.kafka.start()
    yield _when(scene)


@contextmanager
def postgres_stopped(scene: Scene) -> Iterator[str]:
    """Postgres ends all its sessions at once, or is killed, and recovers."""
    scene.begin_and_wait()
    postgres = scene.world.postgres
    if scene.plan.where == "immediate":
        assert postgres.process
        postgres.process.send_signal(signal.SIGQUIT)
        postgres.process.wait()
    postgres.kill()
    time.sleep(_AWAY_SECONDS)
    postgres.start()
    yield f"{_when(scene)}, {scene.plan.where}"


@contextmanager
def connections_exhausted(scene: Scene) -> Iterator[str]:
    """Somebody else takes every connection that the database has to give, those of the services too."""
    scene.begin_and_wait()
    with ExitStack() as taken:
        for _ in range(2):
            _take_all(scene.world.database, taken)
            scene.world.end_sessions()
        _take_all(scene.world.database, taken)
        time.sleep(_FULL_SECONDS)
    yield _when(scene)


def _take_all(database: str, taken: ExitStack) -> None:
    # Of the ordinary ones: those kept for superusers are left, as on any server.
    url = database.replace("postgres@", f"{STRANGER}@")
    with suppress(psycopg.OperationalError):
        for _ in range(_MOST_CONNECTIONS):
            taken.enter_context(psycopg.connect(url, connect_timeout=5))


@contextmanager
def disk_full_postgres(scene: Scene) -> Iterator[str]:
    """No room is left where the database's data is."""
    yield _fill(scene, "postgres", scene.world.postgres)


@contextmanager
def disk_full_broker(scene: Scene) -> Iterator[str]:
    """No room is left where the broker's log is."""
    yield _fill(scene, "kafka", scene.world.kafka)


def _fill(scene: Scene, name: str, server: Server) -> str:
    scene.begin_and_wait()
    met = _times_met(server)
    disk = scene.world.disks[name]
    disk.fill()
    try:
        scene.until(lambda: _times_met(server) > met, f"{server.name} to meet its full disk")
        time.sleep(_FULL_SECONDS)
    finally:
        disk.empty()
    return f"{_when(scene)}; {server.name} {start_again(server)}"


def _times_met(server: Server) -> int:
    return server.log.read_bytes().count(b"No space left on device")


def start_again(server: Server) -> str:
    """Start a server that did not survive its full disk; what became of it."""
    if server.process is not None and server.process.poll() is None and server.ready():
        return "stayed"
    server.kill()
    server.start()
    return "ended, and was started again"


def _when(scene: Scene) -> str:
    return f"at {scene.plan.share:.0%} of the records"


FAULTS = {
    "broker-killed": broker_killed,
    "broker-log-lost": broker_log_lost,
    "postgres-stopped": postgres_stopped,
    "connections-exhausted": connections_exhausted,
    "disk-full-postgres": disk_full_postgres,
    "disk-full-broker": disk_full_broker,
}
