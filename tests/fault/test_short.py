"""Every kind of fault once, on one system that goes on throughout; `make fault` strikes each kind at every place."""

from collections.abc import Iterator

import pytest

from tests.fault.alerts import watched
from tests.fault.plan import KINDS, Plan, plan_of
from tests.fault.run import SEVERAL, Run
from tests.fault.start import world

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1_200)]

_FIRST = len(KINDS)  # the first number of which each kind strikes at its second place


def plan(number: int) -> Plan:
    """The fault of `make fault` with this number, while files of half the length are under way."""
    return plan_of(number).with_files(0.5)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with world() as made, watched(made) as watch:
        yield Run(made, watch, plan(_FIRST))


@pytest.mark.parametrize("number", range(_FIRST, _FIRST + len(KINDS)), ids=list(KINDS))
def test_nothing_is_lost_and_nobody_called_by(number: int, run: Run) -> None:
    outcome = run.strike(plan(number))
    assert outcome.struck, outcome
    assert outcome.in_flight >= SEVERAL, outcome
    assert not outcome.violations, outcome
