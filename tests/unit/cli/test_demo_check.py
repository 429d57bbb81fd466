import json
from typing import Any

import pytest

from rowstream.cli.demo_check import Rejected, differences, rejected
from tests.unit.cli.support import rejection, upload

PLANTED = {3: ("VAL_001",), 9: ("VAL_001", "VAL_005"), 12: ("VAL_002",)}
RIGHT = [Rejected(row, codes[0], codes) for row, codes in PLANTED.items()]


def test_the_report_is_read() -> None:
    lines = [json.dumps(rejection(9, "VAL_001", "VAL_005")).encode()]
    assert rejected(lines) == [Rejected(9, "VAL_001", ("VAL_001", "VAL_005"))]


def test_what_is_exactly_as_planted_has_no_differences() -> None:
    assert differences(20, PLANTED, upload(), RIGHT) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (RIGHT[1:], "row 3: planted with VAL_001, but not rejected"),
        ([*RIGHT, Rejected(4, "DUP_001", ("DUP_001",))], "row 4: rejected with DUP_001, but nothing was planted there"),
        (
            [RIGHT[0], Rejected(9, "VAL_001", ("VAL_001",)), RIGHT[2]],
            "row 9: planted with VAL_001 VAL_005, but rejected as VAL_001 with VAL_001",
        ),
        (
            [RIGHT[0], Rejected(9, "VAL_005", ("VAL_001", "VAL_005")), RIGHT[2]],
            "row 9: planted with VAL_001 VAL_005, but rejected as VAL_005 with VAL_001 VAL_005",
        ),
        ([*RIGHT, RIGHT[0]], "row 3: rejected more than once"),
    ],
)
def test_each_row_that_differs_is_named(found: list[Rejected], said: str) -> None:
    assert differences(20, PLANTED, upload(), found) == [said]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "failed"}, "status is 'failed', not 'completed'"),
        ({"total_records": 19}, "total_records is 19, not 20"),
        ({"succeeded_records": 16}, "succeeded_records is 16, not 17"),
        ({"failed_records": 4}, "failed_records is 4, not 3"),
        ({"errors_by_code": {"VAL_001": 3}}, "errors_by_code is {'VAL_001': 3}, not {'VAL_001': 2, 'VAL_002': 1}"),
    ],
)
def test_each_count_that_differs_is_named(changes: dict[str, Any], said: str) -> None:
    assert differences(20, PLANTED, upload(**changes), RIGHT) == [said]
