import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.api import cursors
from ingest_gateway.problems import Problem


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_place_among_uploads_comes_back_exactly(moment: datetime, upload_id: UUID) -> None:
    assert cursors.upload_place(cursors.after_upload(moment, upload_id)) == (moment, upload_id)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_row_comes_back_exactly(row: int) -> None:
    assert cursors.row_place(cursors.after_row(row)) == row


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "nonsense!",
        "caf\u00e9",
        packed("{}"),
        packed("[]"),
        packed("[true]"),
        packed("[-1]"),
        packed("[9223372036854775808]"),
        packed('["1"]'),
        packed("[1, 2]"),
        packed('["2026-01-01T00:00:00", "0198c0de-0000-7000-8000-000000000001"]'),
        packed('["x", "0198c0de-0000-7000-8000-000000000001"]'),
        packed('["2026-01-01T00:00:00+00:00", "x"]'),
        packed("[" * 5_000),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    for read in (cursors.upload_place, cursors.row_place):
        with pytest.raises(Problem) as caught:
            read(cursor)
        assert caught.value.status_code == 422
