"""Strikes one fault after the other on one world, and checks after each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.fault.check import Recovery, violations, wait_until_ended
from tests.fault.faults import FAULTS
from tests.fault.plan import Plan
from tests.fault.scene import NotStruck, Scene
from tests.fault.world import World

_FORGET_EVERY = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one fault; `struck` is what it hit, empty when it did not come to it."""

    plan: Plan
    struck: str
    in_flight: int
    recovery: Recovery
    violations: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """One line."""
        what = f"{self.plan.number:>6}  {self.plan.kind:<22}"
        if not self.struck:
            return f"{what} NOT STRUCK: {'; '.join(self.violations)}"
        times = f"moved {self.recovery.moved:4.1f} s, ended {self.recovery.ended:5.1f} s"
        state = "ok" if not self.violations else "VIOLATED " + " | ".join(self.violations)
        return f"{what} {times}, {self.in_flight} in flight, {self.seconds:5.1f} s  {self.struck}: {state}"


def fault_free(world: World, plan: Plan) -> float:
    """How long the plan's files take without a fault, in seconds; nothing else may go wrong, either."""
    scene = Scene(world, plan)
    started = time.monotonic()
    scene.begin()
    _, late = _finish(scene, 60.0)
    seconds = time.monotonic() - started
    wrong = [*late, *violations(world, scene.uploads)]
    assert not wrong, f"without any fault: {wrong}"
    world.forget_uploads()
    return seconds


def strike(world: World, plan: Plan, allowed: float) -> Outcome:
    """One fault: strike, heal, wait, check; `allowed` is what the files take without a fault, in seconds."""
    started = time.monotonic()
    scene = Scene(world, plan)
    struck, recovery = "", Recovery(0.0, 0.0)
    wrong: list[str] = []
    try:
        with FAULTS[plan.kind](scene) as hit:
            struck = hit
        recovery, late = _finish(scene, allowed)
        wrong += late
    except NotStruck as reason:
        wrong.append(str(reason))
        struck = ""
        scene.clear_orders()
        wrong += _finish(scene, allowed)[1]
    wrong += violations(world, scene.uploads)
    wrong += [f"not ready again: {waiting}" for waiting in world.wait_until_ready()]
    return Outcome(plan, struck, scene.in_flight, recovery, tuple(wrong), time.monotonic() - started)


def strike_all(world: World, plans: Sequence[Plan], tell: Callable[[str], None]) -> Iterator[Outcome]:
    """All of these faults in turn, on one world."""
    allowed = fault_free(world, plans[0]) if plans else 0.0
    tell(f"without a fault: {allowed:.1f} s")
    for place, plan in enumerate(plans, start=1):
        outcome = strike(world, plan, allowed)
        tell(str(outcome))
        yield outcome
        if outcome.violations:
            tell(f"logs: {world.folder}")
        elif place % _FORGET_EVERY == 0:
            world.forget_uploads()


def _finish(scene: Scene, allowed: float) -> tuple[Recovery, list[str]]:
    for upload in scene.uploads:
        upload.wait()
    return wait_until_ended(scene.world, scene.uploads, allowed)
