"""What the gateway writes as an error report, the splitter reads as the records that were rejected."""

import io
from typing import Any

import dataframely as dy
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.error_report import csv_pages
from rowstream.records import RecordType
from splitter.limits import Limits
from splitter.reader import open_reading


class _Note(dy.Schema):
    id = dy.String(nullable=False)


NOTES = RecordType(name="note", version=1, title="Notes", table="notes", schema=_Note, key=("id",))
CELLS = st.text(alphabet="'=+-@\t\r\n1.,ae %\"\uff1d\U0001f600", max_size=6)


def rejection(row: int, cells: dict[str, str]) -> dict[str, Any]:
    return {
        "row_number": row,
        "error_code": "VAL_001",
        "error_message": "=it has an error",
        "errors": [],
        "row_data": cells,
        "raw_text": None,
    }


@given(CELLS, st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_a_report_handed_in_again_gives_the_original_texts(further: str, records: list[tuple[str, str]]) -> None:
    headers = ("id", f"x{further}" if further.strip().casefold() in ("", "id") else further)
    page = [rejection(row, dict(zip(headers, cells, strict=True))) for row, cells in enumerate(records, 2)]
    report = b"".join(csv_pages([page], headers))
    reading = open_reading(io.BytesIO(report), NOTES, Limits())
    (batch,) = reading
    assert [column.header for column in reading.columns] == list(headers)
    assert list(zip(*(batch.records[f"c{place}"].to_pylist() for place in (0, 1)), strict=True)) == records
    assert batch.rejections == []
