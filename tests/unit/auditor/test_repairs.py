"""How often an upload is announced again."""

import pytest

from auditor.repairs import is_due_again


@pytest.mark.parametrize(
    ("times", "seconds", "due"),
    [(0, 19, False), (0, 20, True), (1, 39, False), (1, 40, True), (5, 39, False), (5, 40, True), (99, 40, True)],
)
def test_the_waits_double_and_stay_well_below_a_minute(times: int, seconds: float, due: bool) -> None:  # noqa: FBT001 - a table of cases
    assert is_due_again(times, seconds, 20.0) is due
