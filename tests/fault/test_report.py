"""What the table and a line say of faults that struck, did not strike, or found something."""

from dataclasses import replace

import pytest

from tests.fault.check import ENDS_WITHIN, MOVES_WITHIN, Recovery
from tests.fault.plan import plan_of
from tests.fault.report import table
from tests.fault.run import Outcome

WELL = Outcome(plan_of(0), "here", 2, Recovery(0.5, 4.0), (), 9.0, 200.0)


@pytest.mark.parametrize(
    ("recovery", "said"),
    [
        (Recovery(0.5, 4.0), None),
        (Recovery(MOVES_WITHIN, ENDS_WITHIN + 10), None),
        (Recovery(MOVES_WITHIN + 1, ENDS_WITHIN + 10), "nothing moved for 61 s"),
        (Recovery(1.0, ENDS_WITHIN + 11), "ended 71 s after the healing, 70 s are allowed"),
        (Recovery(1.0, 240.0, ("u1 processing",)), "not ended 240 s after the healing: u1 processing"),
    ],
)
def test_recovery_is_held_against_the_promise(recovery: Recovery, said: str | None) -> None:
    found = recovery.violations(10.0)
    assert len(found) == (said is not None)
    assert all(said in one for one in found if said)


def test_a_line_says_what_was_hit() -> None:
    assert "here: ok" in str(WELL)
    assert "here: VIOLATED I1 | I2" in str(replace(WELL, violations=("I1", "I2")))
    assert "NOT STRUCK: waited" in str(replace(WELL, struck="", violations=("waited",)))


def test_the_table_counts_by_kind() -> None:
    outcomes = [
        WELL,
        replace(WELL, recovery=Recovery(1.0, 10.0), in_flight=1),
        replace(WELL, plan=plan_of(1), struck="", violations=("waited",)),
    ]
    lines = [line.split() for line in table(outcomes).splitlines() if line]
    assert lines[1] == ["kill-gateway", "2", "2", "1", "7.0", "s", "10.0", "s", "0"]
    assert lines[2] == ["kill-splitter", "1", "0", "0", "0.0", "s", "0.0", "s", "1"]
    assert lines[3] == ["all", "3", "2", "1", "7.0", "s", "10.0", "s", "1"]
    assert lines[4][-2:] == ["200", "MB"]
