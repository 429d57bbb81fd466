"""Strikes one fault after the other on one world, and checks after each."""

import time
from dataclasses import dataclass, replace

from tests.fault.alerts import Watch, unwanted
from tests.fault.check import Recovery, violations, wait_until_ended
from tests.fault.faults import FAULTS, Fault
from tests.fault.plan import Plan
from tests.fault.scene import NotStruck, Scene
from tests.fault.world import World

LONGEST = 240.0
SEVERAL = 2  # so many uploads are in flight, at least, when a fault strikes
_LONGER = 4
_FORGET_EVERY = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Attributes:
        plan: Makes it again.
        struck: What it hit, empty when it did not come to it.
        in_flight: How many uploads had not ended by then.
        recovery: How long it took to recover.
        violations: What was not as promised.
        seconds: From its beginning to the end of all checks.
        memory_mb: What the largest process of a service held at the end.
    """

    plan: Plan
    struck: str
    in_flight: int
    recovery: Recovery
    violations: tuple[str, ...]
    seconds: float
    memory_mb: float

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
    world.forget_uploads()  # the same records would be duplicates
    scene = Scene(world, plan)
    started = time.monotonic()
    scene.begin()
    recovery = _finish(scene)
    seconds = time.monotonic() - started
    assert not recovery.still_open, f"without any fault: {recovery.still_open}"
    wrong = violations(world, scene.uploads)
    assert not wrong, f"without any fault: {wrong}"
    world.forget_uploads()
    return seconds


def strike(world: World, plan: Plan, fault: Fault, *, longest: float = LONGEST) -> Outcome:
    """One fault: strike, heal, wait, check; uploads that have not ended `longest` seconds after are not waited for."""
    started = time.monotonic()
    scene = Scene(world, plan)
    struck, recovery = "", Recovery()
    wrong: list[str] = []
    try:
        with fault(scene) as hit:
            struck = hit
    except (NotStruck, AssertionError) as reason:  # a part that does not come back is told by the second
        wrong.append(str(reason))
        scene.clear_orders()
        world.heal()
    else:
        recovery = _finish(scene, longest)
    wrong += [f"not ready again: {waiting}" for waiting in world.wait_until_ready()]
    wrong += violations(world, scene.uploads)
    memory = max(service.memory_mb() for service in world.services.values())
    return Outcome(plan, struck, scene.in_flight, recovery, tuple(wrong), time.monotonic() - started, memory)


class Run:
    """Faults struck one after the other on one world, each held against what the same files take without a fault.

    What heals by itself may call nobody meanwhile.
    """

    def __init__(self, world: World, watch: Watch, plan: Plan) -> None:
        """`plan` says by which files a time without a fault is measured first."""
        self._world, self._watch, self._struck = world, watch, 0
        self.fault_free = fault_free(world, plan)

    def strike(self, plan: Plan) -> Outcome:
        """The fault of this plan.

        Where a quick machine had ended an upload before it struck, it strikes again while longer files are under way.
        """
        outcome = self._strike(plan)
        if outcome.struck and outcome.in_flight < SEVERAL and not outcome.violations:
            self._world.forget_uploads()  # the same records would be duplicates
            outcome = self._strike(plan.with_files(_LONGER))
        return outcome

    def _strike(self, plan: Plan) -> Outcome:
        before, started = self._watch.firing(), time.monotonic()
        outcome = strike(self._world, plan, FAULTS[plan.kind])
        called = unwanted(plan.kind, self._watch.paged(started) - before)
        if outcome.recovery.violations(self.fault_free) and not outcome.recovery.still_open:
            self.fault_free = max(self.fault_free, fault_free(self._world, plan))  # the machine may be slower by now
        self._struck += 1
        if self._struck % _FORGET_EVERY == 0 and not outcome.recovery.still_open:
            self._world.forget_uploads()
        late = outcome.recovery.violations(self.fault_free)
        return replace(outcome, violations=(*late, *outcome.violations, *called))


def _finish(scene: Scene, longest: float = LONGEST) -> Recovery:
    for upload in scene.uploads:
        upload.wait(longest)
    return wait_until_ended(scene.world, scene.uploads, longest=longest)
