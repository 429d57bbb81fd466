"""A fault that needs a person fires its alert while it lasts, and the alert clears once it is healed.

Nobody is paged for all others: `Run` looks after each fault of `test_short` and of `make fault`.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests import servers
from tests.fault.alerts import KINDS, Watch, watched
from tests.fault.faults import Fault
from tests.fault.faults.lasting import LASTING
from tests.fault.plan import File, Plan, plan_of
from tests.fault.run import strike
from tests.fault.scene import NotStruck, Scene
from tests.fault.start import world
from tests.fault.world import World

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1_200)]

_FIRST = 80_000
_FIRES_SECONDS = 180.0
_CLEARS_SECONDS = 120.0
_FORGETS_SECONDS = 900.0
_RECOVERS_SECONDS = 90.0
_LOOKS_FAR_BACK = {
    "DeadLettersGrow": "an hour",
    "ProcessRestarts": "half an hour",
    "UploadBudgetBurnsFast": "half an hour, of those that ended",
    "UploadBudgetBurnsSlowly": "two hours, of those that ended",
}
"""Alerts that stay for a while by what they look at; the last test waits for them, so that no fault has to."""


@pytest.fixture(scope="module")
def system() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture(scope="module")
def watch(system: World) -> Iterator[Watch]:
    with watched(system) as watch:
        yield watch


@pytest.mark.parametrize("kind", LASTING)
def test_somebody_is_called_until_it_is_healed(kind: str, system: World, watch: Watch) -> None:
    wanted = KINDS[kind].fires
    outcome = strike(system, _plan(kind), _until_called(LASTING[kind], watch, wanted))
    assert outcome.struck, outcome
    assert outcome.in_flight >= 2, outcome
    assert not outcome.violations, outcome
    assert not outcome.recovery.violations(_RECOVERS_SECONDS), outcome
    _until_quiet(watch, _CLEARS_SECONDS, but=_LOOKS_FAR_BACK)


def test_no_alert_stays(watch: Watch) -> None:
    _until_quiet(watch, _FORGETS_SECONDS)


def _until_called(fault: Fault, watch: Watch, wanted: frozenset[str]) -> Fault:
    """The fault, which lasts until its alerts fire."""

    @contextmanager
    def lasting(scene: Scene) -> Iterator[str]:
        with fault(scene) as hit:
            try:
                scene.until(lambda: wanted <= watch.firing(), f"{', '.join(sorted(wanted))} to fire", _FIRES_SECONDS)
            except NotStruck as late:
                raise NotStruck(f"{late}, and there are {', '.join(sorted(watch.firing())) or 'none'}") from None
        yield hit

    return lasting


def _until_quiet(watch: Watch, seconds: float, but: Collection[str] = ()) -> None:
    def quiet() -> bool:
        return not {name for name in watch.firing() if name.partition("/")[0] not in but}

    servers.until(quiet, seconds=seconds, what="the end of all alerts")


def _plan(kind: str) -> Plan:
    """Three uploads, since fewer that fail burn no budget; no key twice, as a retry may load another one first."""
    number = _FIRST + list(LASTING).index(kind)
    files = tuple(
        File(rows=6_000, seed=number * 3 + place, organization=int(place == 1), duplicates=0.0) for place in range(3)
    )
    return replace(plan_of(number), kind=kind, files=files)
