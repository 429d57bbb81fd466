"""A plan follows from its number, and many plans reach every place of every kind."""

from collections import Counter
from itertools import islice

import pytest

from tests.fault.faults import FAULTS
from tests.fault.plan import KINDS, plan_of, plans_from

LONG = 300


def test_the_same_number_makes_the_same_plan() -> None:
    assert [plan_of(number) for number in range(50)] == [plan_of(number) for number in range(50)]


def test_another_number_makes_another_workload() -> None:
    assert len({plan_of(number).files for number in range(LONG)}) == LONG


def test_three_hundred_faults_are_at_least_ten_of_every_kind() -> None:
    counts = Counter(plan_of(number).kind for number in range(LONG))
    assert counts.keys() == KINDS.keys()
    assert min(counts.values()) >= 10


@pytest.mark.parametrize("kind", [kind for kind in KINDS if len(KINDS[kind]) <= 10])
def test_three_hundred_faults_strike_everywhere(kind: str) -> None:
    struck = {plan.where for plan in map(plan_of, range(LONG)) if plan.kind == kind}
    assert struck == set(KINDS[kind])


@pytest.mark.parametrize("number", [0, 7, 123, 2_000])
def test_two_uploads_at_least_are_under_way(number: int) -> None:
    files = plan_of(number).files
    assert len(files) >= 2
    assert all(3_000 <= file.rows < 9_000 for file in files)


def test_every_kind_that_can_be_planned_can_strike() -> None:
    assert FAULTS.keys() == KINDS.keys()


def test_one_kind_can_be_asked_for_and_has_the_same_numbers() -> None:
    plans = list(islice(plans_from(17, ["partition"]), 30))
    assert {plan.where for plan in plans} == set(KINDS["partition"])
    assert plans == [plan for plan in map(plan_of, range(17, 17 + 30 * len(KINDS))) if plan.kind == "partition"]


def test_longer_files_are_under_way_while_the_same_fault_strikes() -> None:
    plan = plan_of(33)
    longer = plan.with_files(4)
    assert [file.rows for file in longer.files] == [4 * file.rows for file in plan.files]
    assert (longer.kind, longer.where, longer.nth, longer.share) == (plan.kind, plan.where, plan.nth, plan.share)
