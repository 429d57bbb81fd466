"""Versions side by side, and clocks that jump."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fault.scene import Scene
from tests.servers.tools import false_clock

OLDER = Path(__file__).parent.parent / "older_schemas.py"
_JUMPED_SECONDS, _LOOK_SECONDS = 4.0, 0.05


@contextmanager
def rolling_upgrade(scene: Scene) -> Iterator[str]:
    """All processes are replaced one after another; each is asked to leave, and the next waits until it is ready."""
    processes = [service for service in scene.world.services.values() if service.wanted]
    scene.world.replace(*processes[::2], extra={"FAULT_PATCH": str(OLDER)})
    scene.begin_and_wait()
    for service in processes:
        scene.world.replace(service)
    yield f"{len(processes)} processes from former schemas to today's, one after another"


@contextmanager
def older_schema(scene: Scene) -> Iterator[str]:
    """Half of the processes speak former versions of every message's schema, as those of the last release do."""
    older = [service for service in scene.world.services.values() if service.wanted][1::2]
    scene.world.replace(*older, extra={"FAULT_PATCH": str(OLDER)})
    scene.begin_and_wait()
    scene.until(scene.all_ended, "the end of all uploads", seconds=180)
    scene.world.replace(*older)
    yield ", ".join(service.name for service in older)


@contextmanager
def clock_jump(scene: Scene) -> Iterator[str]:
    """The clock of all processes of a service jumps by an hour in the middle of their work, and later back."""
    module, jump = scene.plan.where.split("/")
    clock = scene.world.folder / f"clock-{module}"
    clock.write_text("+0\n")
    processes = scene.world.of(module)
    scene.world.replace(*processes, extra=false_clock(clock))
    scene.begin_and_wait()
    before = [service.pid for service in processes]
    clock.write_text(f"{jump}\n")
    back = time.monotonic() + _JUMPED_SECONDS
    # Those that end by it start again by the right clock, however soon: where one is false at a start and put right
    # later, libfaketime lets every timed wait return at once, or none for a minute.
    for service in processes:
        service.extra = {}
    while time.monotonic() < back and any(service.pid in before for service in processes):
        time.sleep(_LOOK_SECONDS)
    clock.write_text("+0\n")
    scene.until(scene.all_ended, "the end of all uploads", seconds=180)
    waiting = scene.world.wait_until_ready()  # by itself: to be replaced while it heals would be another fault
    assert not waiting, f"not ready again by the right clock: {waiting}"
    scene.world.replace(*processes)
    yield f"{module} by {jump}, at {scene.plan.share:.0%} of the records"


FAULTS = {"rolling-upgrade": rolling_upgrade, "older-schema": older_schema, "clock-jump": clock_jump}
