"""What reading gives: records in columns, and a rejection for each that could not be parsed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rowstream.records.errors import capped
from rowstream.records.formulas import restored
from splitter.limits import Limits

ROW_NUMBER = "row_number"
"""Name of the first column of records; the cells follow as `c0`, `c1`, ..."""

MAX_BATCH_RECORDS = 65_536
"""Records and rejections of one batch, so that a file of tiny records takes no more memory than another."""


@dataclass(frozen=True, slots=True)
class ParseRejection:
    """A record that could not be parsed, as it travels on.

    Attributes:
        row_number: As a spreadsheet shows it.
        code: `VAL_006` to `VAL_009`.
        message: For people: what was found and what was expected.
        raw: The record's text, what is no text escaped, cut to the limit.
    """

    row_number: int
    code: str
    message: str
    raw: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A stretch of a file: each of its rows is in one of the two, blank ones in neither.

    Attributes:
        records: `row_number` int64, then `c0`, `c1`, ... utf8, none null, one chunk each; in row order.
        rejections: In row order.
    """

    records: pa.Table
    rejections: list[ParseRejection]


def as_before_report(batch: Batch) -> Batch:
    """The batch of an error report, its cells as they were before the report put apostrophes before formulas."""
    row_numbers, *cells = batch.records.columns
    restored_cells = [pa.chunked_array([restored(chunk) for chunk in column.chunks], pa.utf8()) for column in cells]
    records = pa.Table.from_arrays([row_numbers, *restored_cells], schema=batch.records.schema)
    return Batch(records, batch.rejections)


def cell_names(width: int) -> list[str]:
    """The names of that many columns of cells."""
    return [f"c{position}" for position in range(width)]


def raw_text(raw: bytes, limits: Limits) -> str:
    r"""A record's bytes as text that a person can read and a database can store.

    Bytes that are not UTF-8 and NUL become `\xNN`; beyond `limits.max_raw_chars` it is cut, and ends with an ellipsis.
    """
    start = raw[: limits.lookahead_bytes]
    return capped(start.decode("utf-8", "backslashreplace").replace("\0", "\\x00"), limits.max_raw_chars)


def wrong_count(row_number: int, found: int, expected: int, raw: bytes, limits: Limits) -> ParseRejection:
    """The rejection of a record that has not as many cells as the header."""
    message = f"the record has {found} cell{'' if found == 1 else 's'}, the header has {expected}"
    return ParseRejection(row_number, "VAL_006", message, raw_text(raw, limits))


def make_records(row_numbers: np.ndarray, cells: Sequence[pa.Array]) -> pa.Table:
    """The table of a batch from the rows' numbers and the columns of cells."""
    numbers = pa.array(row_numbers, pa.int64())
    return pa.Table.from_arrays([numbers, *cells], names=[ROW_NUMBER, *cell_names(len(cells))])
