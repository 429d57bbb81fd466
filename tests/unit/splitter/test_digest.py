import numpy as np
import pyarrow as pa
import pytest

from splitter.batch import ParseRejection, make_records
from splitter.digest import content_digest, record_sizes, rejection_size

ROWS = [["a", "é", ""], ["", "b,c", "x" * 100]]
REJECTION = ParseRejection(7, "VAL_006", "too few", "größe")


def records(rows: list[list[str]], first_row: int = 2) -> pa.Table:
    cells = [pa.array([row[n] for row in rows], pa.utf8()) for n in range(3)]
    return make_records(np.arange(first_row, first_row + len(rows)), cells)


def test_sizes_count_the_row_number_and_utf8() -> None:
    assert record_sizes(records(ROWS)).tolist() == [8 + 1 + 2 + 0, 8 + 0 + 3 + 100]
    assert record_sizes(records([["q", "q", "q"], *ROWS]).slice(1)).tolist() == [11, 111]
    assert record_sizes(records([])).tolist() == []
    assert rejection_size(REJECTION) == 8 + 7 + 7 + 7


def test_the_digest_is_the_same_in_every_version_and_on_every_machine() -> None:
    """Written down, not computed: a change here makes a second split of an old upload fail."""
    assert content_digest(records(ROWS), [REJECTION]).hex() == "35eb19194070d8429b082d2ef27d946e"
    assert content_digest(records([]), []).hex() == "8d68b1a73cb13671b5e013d471699223"


def test_the_digest_does_not_depend_on_where_the_cells_lie() -> None:
    expected = content_digest(records(ROWS), [])
    longer = records([["q", "q", "q"], *ROWS, ["r", "r", "r"]], first_row=1)
    assert content_digest(longer.slice(1, 2), []) == expected
    assert content_digest(pa.concat_tables([longer.slice(1, 1), longer.slice(2, 1)]), []) == expected


@pytest.mark.parametrize(
    ("rows", "first_row", "rejections"),
    [
        (ROWS, 3, [REJECTION]),
        (ROWS[:1], 2, [REJECTION]),
        ([["a", "é", ""], ["b", ",c", "x" * 100]], 2, [REJECTION]),
        ([["aé", "", ""], ["", "b,c", "x" * 100]], 2, [REJECTION]),
        ([["", "é", ""], ["a", "b,c", "x" * 100]], 2, [REJECTION]),
        (ROWS, 2, []),
        (ROWS, 2, [REJECTION, REJECTION]),
        (ROWS, 2, [ParseRejection(8, "VAL_006", "too few", "größe")]),
        (ROWS, 2, [ParseRejection(7, "VAL_007", "too few", "größe")]),
        (ROWS, 2, [ParseRejection(7, "VAL_006", "too fewg", "röße")]),
        (ROWS, 2, [ParseRejection(7, "VAL_006", "too few", "große")]),
    ],
)
def test_any_other_content_has_another_digest(
    rows: list[list[str]], first_row: int, rejections: list[ParseRejection]
) -> None:
    assert content_digest(records(rows, first_row), rejections) != content_digest(records(ROWS), [REJECTION])
