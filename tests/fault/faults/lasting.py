"""Faults that do not heal by themselves: a context strikes when it is entered, and is what a person does when left."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import httpx
import psycopg

from tests.fault.faults import Fault, messages
from tests.fault.faults.servers import start_again
from tests.fault.plan import PROCESSOR, SPLITTER, File
from tests.fault.scene import Scene
from tests.fault.service import Service
from tests.fault.workload import ROOT
from tests.servers import Server

_FIRST_CHUNK_FAILS = Path(__file__).parent.parent / "broken" / "first_chunk_fails.py"
_ENDS = 6
_SEEN_SECONDS = 1.5  # a process that was ready for so long was looked at
_ASK_SECONDS = 0.5
_ENDED_SECONDS = 120.0
_LATE_SEEDS = 1_000_000


@contextmanager
def messages_nobody_can_read(scene: Scene) -> Iterator[str]:
    """Somebody else writes to our topics; healed by telling them, and what is under way goes on meanwhile."""
    with messages.not_ours(scene) as hit:
        yield hit


@contextmanager
def a_process_ends_again_and_again(scene: Scene) -> Iterator[str]:
    """A processor is killed whenever it has come up, until somebody has found out by what."""
    scene.begin_and_wait()
    victim = scene.world.of(PROCESSOR)[0]
    for _ in range(_ENDS):
        victim.send(signal.SIGKILL)
        scene.until(lambda: not victim.is_running, f"{victim.name} to end")
        scene.until(lambda: victim.readiness()[0] == 200, f"{victim.name} to be ready again")
        time.sleep(_SEEN_SECONDS)
    yield f"{victim.name}, {_ENDS} times"


@contextmanager
def store_away(scene: Scene) -> Iterator[str]:
    """The object store is there for nobody until somebody brings it back; the uploads wait for it."""
    for line in scene.world.lines_to("store", SPLITTER):
        line.cut()
    scene.begin()
    scene.until(scene.all_accepted, "the uploads to be accepted")
    scene.struck()
    for line in scene.world.lines_to("store"):
        line.cut()
    try:
        yield "the object store, for gateway and splitters"
    finally:
        for line in scene.world.lines_to("store"):
            line.restore()


@contextmanager
def chunks_that_always_fail(scene: Scene) -> Iterator[str]:
    """A fault in the processors' own code, at one chunk of each upload; they are retried with a better version."""
    processors = scene.world.of(PROCESSOR)
    scene.world.replace(*processors, extra={"FAULT_PATCH": str(_FIRST_CHUNK_FAILS)})
    scene.begin()
    scene.until(scene.all_accepted, "the uploads to be accepted")
    scene.struck()
    scene.until(scene.all_ended, "the uploads to fail", seconds=_ENDED_SECONDS)
    try:
        yield "the first chunk of each upload"
    finally:
        scene.world.replace(*processors)
    _retry(scene)


def _retry(scene: Scene) -> None:
    """What a person does with an upload that has failed for a reason of ours."""
    for upload in scene.uploads:
        headers = {"Authorization": f"Bearer {upload.key}"}
        again = f"{upload.address}{ROOT}/{upload.upload_id}/retry"
        httpx.post(again, headers=headers, timeout=30, trust_env=False).raise_for_status()


@contextmanager
def database_away(scene: Scene) -> Iterator[str]:
    """The database does not run until somebody starts it; people go on asking how their uploads stand."""
    scene.begin_and_wait()
    with _gone(scene.world.postgres), _asking(scene):
        yield "the database"


@contextmanager
def broker_away(scene: Scene) -> Iterator[str]:
    """The broker does not run until somebody starts it; files are handed in all the same."""
    scene.begin_and_wait()
    with _gone(scene.world.kafka):
        scene.hand_in(_late(scene))
        yield "the broker"


def _late(scene: Scene) -> File:
    return File(rows=2_000, seed=_LATE_SEEDS + scene.plan.number, organization=0)


@contextmanager
def _gone(server: Server) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def _asking(scene: Scene) -> Iterator[None]:
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(_ASK_SECONDS):
            for upload in scene.uploads:
                headers = {"Authorization": f"Bearer {upload.key}"}
                with suppress(httpx.TransportError):
                    httpx.get(upload.address + ROOT, headers=headers, timeout=10, trust_env=False)

    asking = threading.Thread(target=ask, name="asking")
    asking.start()
    try:
        yield
    finally:
        stop.set()
        asking.join()


@contextmanager
def database_disk_full(scene: Scene) -> Iterator[str]:
    """No room is left for the database until somebody makes some."""
    with _full(scene, "postgres", scene.world.postgres) as hit:
        yield hit


@contextmanager
def broker_disk_full(scene: Scene) -> Iterator[str]:
    """No room is left for the broker until somebody makes some; files are handed in all the same."""
    with _full(scene, "kafka", scene.world.kafka) as hit:
        scene.hand_in(_late(scene))
        yield hit


@contextmanager
def _full(scene: Scene, name: str, server: Server) -> Iterator[str]:
    scene.begin_and_wait()
    disk = scene.world.disks[name]
    disk.fill()
    try:
        yield f"the disk of {server.name}"
    finally:
        disk.empty()
        start_again(server)


@contextmanager
def lanes_held_by_a_stranger(scene: Scene) -> Iterator[str]:
    """A session that is none of ours holds the uploads' lanes, until somebody ends it."""
    scene.begin_and_wait()
    ids = [upload.upload_id for upload in scene.uploads if upload.upload_id]
    with psycopg.connect(scene.world.database, application_name="a stranger") as stranger:
        held = stranger.execute(
            "SELECT lane FROM upload_lanes WHERE batch_upload_id = ANY (%s::uuid[]) FOR UPDATE", [ids]
        )
        yield f"{held.rowcount} lanes"


@contextmanager
def all_who_could_move_it_frozen(scene: Scene) -> Iterator[str]:
    """No splitter and no processor does anything, and none has ended."""
    scene.begin_and_wait()
    frozen = [*scene.world.of(SPLITTER), *scene.world.of(PROCESSOR)]
    _send(frozen, signal.SIGSTOP)
    try:
        yield f"{len(frozen)} processes"
    finally:
        _send(frozen, signal.SIGCONT)


@contextmanager
def all_services_gone(scene: Scene) -> Iterator[str]:
    """All services were ended, and nobody starts them."""
    scene.begin_and_wait()
    services = scene.world.leave()
    try:
        yield f"{len(services)} processes"
    finally:
        for service in services:
            scene.world.supervisor.start(service)


def _send(services: list[Service], number: signal.Signals) -> None:
    for service in services:
        service.send(number)


LASTING: Mapping[str, Fault] = MappingProxyType(
    {
        "messages-nobody-can-read": messages_nobody_can_read,
        "a-process-that-ends-again-and-again": a_process_ends_again_and_again,
        "store-away": store_away,
        "chunks-that-always-fail": chunks_that_always_fail,
        "database-away": database_away,
        "database-disk-full": database_disk_full,
        "broker-away": broker_away,
        "broker-disk-full": broker_disk_full,
        "lanes-held-by-a-stranger": lanes_held_by_a_stranger,
        "all-who-could-move-it-frozen": all_who_could_move_it_frozen,
        "all-services-gone": all_services_gone,
    }
)
"""Every kind; those whose alerts look back longest come first, so that they have cleared when all is done."""
