"""Services that die, leave, stand still, come and go."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import httpx

from tests.fault.plan import GATEWAY, File
from tests.fault.scene import Scene
from tests.fault.world import SESSION_SECONDS, SPARE

_STORM_TURNS = 6
_STORM_SECONDS = 0.7
_CROWD = 12
_CROWDS = 4
_CROWD_ROWS = 10


@contextmanager
def kill(scene: Scene) -> Iterator[str]:
    """kill -9 exactly after a step; started again by the supervisor."""
    yield _strike(scene, signal.SIGKILL)[1]


@contextmanager
def terminate(scene: Scene) -> Iterator[str]:
    """SIGTERM while a batch is in hand."""
    pid, where = _strike(scene, signal.SIGTERM)
    scene.until(lambda: _has_left(pid), f"process {pid} to leave")
    yield where


@contextmanager
def freeze(scene: Scene) -> Iterator[str]:
    """SIGSTOP for one and a half session timeouts, then woken: what it held is another's by now."""
    pid, where = _strike(scene, signal.SIGSTOP)
    time.sleep(1.5 * SESSION_SECONDS)
    _wake(pid)
    yield where


@contextmanager
def freeze_long(scene: Scene) -> Iterator[str]:
    """SIGSTOP until all others have finished, however long that takes, then woken: a zombie of an ended upload."""
    pid, where = _strike(scene, signal.SIGSTOP)
    try:
        scene.until(scene.all_ended, "the others to finish what a frozen process held", seconds=180)
    finally:
        _wake(pid)
    yield f"{where}, until the others had ended everything"


@contextmanager
def rebalance_storm(scene: Scene) -> Iterator[str]:
    """A processor comes and goes, again and again."""
    scene.begin_and_wait()
    spare = scene.world.services[SPARE]
    number = signal.SIGKILL if scene.plan.where == "kill" else signal.SIGTERM
    turns = 0
    while turns < _STORM_TURNS and not scene.all_ended():
        scene.world.supervisor.start(spare)
        scene.until(lambda: spare.readiness()[0] == 200 or scene.all_ended(), "the spare processor to join")
        time.sleep(_STORM_SECONDS)
        scene.world.supervisor.end(spare, number)
        turns += 1
    yield f"{turns} times a processor more and one less"


@contextmanager
def gateway_storm(scene: Scene) -> Iterator[str]:
    """Many small files are confirmed, and as soon as some of them are, the gateway is killed; again and again."""
    scene.begin_and_wait()
    (gateway,) = scene.world.of(GATEWAY)
    for crowd in range(_CROWDS):
        wanted = _accepted(scene) + 1 + crowd
        for place in range(_CROWD):
            seed = 10**6 + (scene.plan.number * _CROWDS + crowd) * _CROWD + place
            scene.hand_in(File(rows=_CROWD_ROWS, seed=seed, organization=place % 2))
        scene.until(partial(_are_accepted, scene, wanted), "some of many to be accepted")
        gateway.send(signal.SIGKILL)
    scene.until(lambda: gateway.readiness()[0] == httpx.codes.OK, "the gateway to come back")
    yield f"{_CROWDS} times, each time amid {_CROWD} files"


def _are_accepted(scene: Scene, wanted: int) -> bool:
    return _accepted(scene) >= wanted


def _accepted(scene: Scene) -> int:
    return sum(upload.accepted for upload in scene.uploads)


def _strike(scene: Scene, number: signal.Signals) -> tuple[int, str]:
    service, step = scene.plan.where.split("/")
    scene.order(service, step, number)
    scene.begin()
    return scene.until_struck(service), f"{service} at {step}, time {scene.plan.nth}"


def _has_left(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


FAULTS = {
    **dict.fromkeys(("kill-gateway", "kill-splitter", "kill-processor", "kill-auditor"), kill),
    "terminate": terminate,
    "freeze": freeze,
    "freeze-long": freeze_long,
    "rebalance-storm": rebalance_storm,
    "gateway-storm": gateway_storm,
}
