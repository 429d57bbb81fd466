"""Which rows are read again for chunks whose announcement is not known of."""

from types import SimpleNamespace

import pytest

from record_processor.announce import merged

A, B = "upload a", "upload b"


def chunk(upload: str, first: int, last: int, attempt: int = 1) -> SimpleNamespace:
    return SimpleNamespace(upload_id=upload, attempt=attempt, first_row=first, last_row=last)


@pytest.mark.parametrize(
    ("chunks", "ranges"),
    [
        ([], []),
        ([chunk(A, 2, 9)], [(2, 9, A)]),
        ([chunk(A, 2, 9), chunk(A, 5, 12)], [(2, 12, A)]),
        ([chunk(A, 2, 90), chunk(A, 5, 12), chunk(A, 60, 70)], [(2, 90, A)]),
        ([chunk(A, 2, 9), chunk(A, 10, 12)], [(2, 12, A)]),
        ([chunk(A, 2, 9), chunk(A, 11, 12)], [(2, 9, A), (11, 12, A)]),
        ([chunk(A, 2, 9), chunk(B, 5, 12)], [(2, 9, A), (5, 12, B)]),
        ([chunk(A, 2, 9), chunk(A, 5, 12, attempt=2)], [(2, 9, A), (5, 12, A)]),
    ],
)
def test_ranges_that_touch_are_one(chunks: list[SimpleNamespace], ranges: list[tuple[int, int, str]]) -> None:
    assert [(first, last, one.upload_id) for first, last, one in merged(chunks)] == ranges
