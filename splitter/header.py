"""The first line of a file: which column each cell is, and whether this is a file that can be read at all."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from rowstream.errors import Poison
from rowstream.records import RecordType
from rowstream.records.formulas import restored
from rowstream.storage.file_kinds import SNIFF_BYTES, what_is_no_text
from splitter.grammar import BadRecord, LineEnds, after_line_end, blank_lines, cells_of, find_record
from splitter.limits import Limits
from splitter.lookahead import Lookahead

REPORT_COLUMNS: Final = frozenset({"row_number", "error_code", "error_message"})
"""What an error report has beside the file's own columns. A file with all three is one sent in again."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SHOWN_HEADERS = 12
_SHOWN_CHARS = 40


class FileRejected(Poison):
    """The file as a whole can't be read: its upload fails before any chunk.

    Attributes:
        code: `FMT_001` to `FMT_005`.
        message: For people: what was found, what was expected, and the way out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file.

    Attributes:
        header: Its header as it stands in the file.
        name: The record type's column that it means, or None for a further one.
    """

    header: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says.

    Attributes:
        columns: The columns that travel on, in the file's order.
        kept: For each of them, which cell of a record it is.
        width: Cells that a record must have. More than `kept` if the file is an error report sent in again: its three
            further columns are counted and then left out.
        row: The header's row number.
        defused: Whether cells have an apostrophe where a spreadsheet would run them, as those of an error report have.
    """

    columns: tuple[Column, ...]
    kept: tuple[int, ...]
    width: int
    row: int
    defused: bool = False


def read_header(source: Lookahead, record_type: RecordType, limits: Limits, *, restore: bool = True) -> Header:
    """Reads a file's byte order mark, blank lines and header; the source then stands at the line that follows.

    Without `restore`, an error report's cells and headers are taken with the apostrophes that it put before them.

    Raises:
        FileRejected: The file is empty, is not text, or its header is not one of this record type.
    """
    source.fill(SNIFF_BYTES)
    start = source.data[source.at : source.at + SNIFF_BYTES]
    if reason := what_is_no_text(start):
        raise FileRejected("FMT_002", f"the file is not text: {reason}")
    if start.startswith(codecs.BOM_UTF8):
        source.advance_to(source.at + len(codecs.BOM_UTF8))
    row = _skip_blank_lines(source) + 1
    return _header(_read_cells(source, limits), row, record_type, limits, restore=restore)


def _skip_blank_lines(source: Lookahead) -> int:
    skipped = 0
    while not source.exhausted:
        source.fill(SNIFF_BYTES)
        held = len(source.data) if source.ended else len(source.data) - 1
        at, count = blank_lines(source.data, source.at, held)
        if not count:
            return skipped
        skipped += count
        source.advance_to(at)
    what = f"{skipped} blank line{'' if skipped == 1 else 's'} and nothing else" if skipped else "nothing"
    raise FileRejected("FMT_001", f"the file is empty: it holds {what}. A header was expected in its first line")


def _read_cells(source: Lookahead, limits: Limits) -> list[str]:
    limit = limits.max_header_bytes
    source.fill(limit + 2)
    found = find_record(LineEnds(source.data), source.at, limit)
    if isinstance(found, BadRecord):
        if found.code == "VAL_009":
            message = (
                f"the header (the file's first line) is longer than {limit} bytes. Is there a line end in the file?"
            )
            raise FileRejected("FMT_005", message)
        raise FileRejected("FMT_003", f"the header (the file's first line) cannot be read: {found.message}")
    end, spans = found
    raw = source.data[source.at : end]
    try:
        cells = cells_of(source.data, source.at, end, spans)
    except UnicodeDecodeError:
        message = "its header is not UTF-8. Save it as “CSV UTF-8”, or convert it to UTF-8"
        raise FileRejected("FMT_002", f"the file is not text that can be read: {message}") from None
    if b"\0" in raw:
        raise FileRejected(
            "FMT_002", "the file is not text: its header holds NUL. Export the records as a CSV file in UTF-8"
        )
    source.advance_to(after_line_end(source.data, end))
    return cells


def _header(cells: Sequence[str], row: int, record_type: RecordType, limits: Limits, *, restore: bool) -> Header:
    if len(cells) > limits.max_columns:
        message = f"the header has {len(cells)} columns, more than the {limits.max_columns} that are allowed"
        raise FileRejected("FMT_005", f"{message}: leave out what {record_type.name} does not need")
    columns = [Column(cell, record_type.column_of(cell)) for cell in cells]
    left_out = _report_positions(columns)
    defused = restore and bool(left_out)
    if defused:
        originals = restored(pa.array(cells, pa.utf8())).to_pylist()
        columns = [Column(cell, record_type.column_of(cell)) for cell in originals]
    _refuse_unknown(columns, record_type)
    _refuse_repeated(columns)
    _refuse_missing(columns, record_type)
    kept = tuple(position for position in range(len(columns)) if position not in left_out)
    return Header(tuple(columns[position] for position in kept), kept, len(columns), row, defused)


def _refuse_unknown(columns: Sequence[Column], record_type: RecordType) -> None:
    if any(column.name for column in columns):
        return
    message = f"the header names no column of {record_type.name}: found {_shown([c.header for c in columns])}"
    for separator, name in _SEPARATORS.items():
        if any(record_type.column_of(part) for column in columns for part in column.header.split(separator)):
            raise FileRejected(
                "FMT_003", f"{message}. Its cells are separated by {name}: save the file with commas instead"
            )
    raise FileRejected(
        "FMT_003",
        f"{message}; expected {_shown(record_type.columns)}. Is the first line the header, and the record type right?",
    )


def _refuse_repeated(columns: Sequence[Column]) -> None:
    """Two columns must not mean the same. Columns without any header, as spreadsheets leave behind, may be many."""
    seen: dict[tuple[bool, str], int] = {}
    for position, column in enumerate(columns):
        meaning = (True, column.name) if column.name else (False, column.header.strip().casefold())
        if not meaning[1]:
            continue
        first = seen.setdefault(meaning, position)
        if first != position:
            what = f"the column {column.name}" if column.name else "the same"
            raise FileRejected(
                "FMT_004",
                f"the header repeats a column: {_shown([columns[first].header])} (column {first + 1}) and "
                f"{_shown([column.header])} (column {position + 1}) mean {what}. Rename or delete one of them",
            )


def _refuse_missing(columns: Sequence[Column], record_type: RecordType) -> None:
    names = {column.name for column in columns}
    missing = [name for name in record_type.required if name not in names]
    if missing:
        raise FileRejected(
            "FMT_003",
            f"the header lacks {_shown(missing)}, which {record_type.name} requires: found "
            f"{_shown([column.header for column in columns])}. Add what is missing, or rename it",
        )


def _report_positions(columns: Sequence[Column]) -> frozenset[int]:
    """Where the columns of an error report stand, if all three are there and mean nothing to the record type."""
    positions = {
        column.header.strip().casefold(): position for position, column in enumerate(columns) if column.name is None
    }
    if not positions.keys() >= REPORT_COLUMNS:
        return frozenset()
    return frozenset(positions[name] for name in REPORT_COLUMNS)


def _shown(headers: Sequence[str]) -> str:
    """Some headers for a message, none of them longer than a person wants to read."""
    shown = [
        f"“{header if len(header) <= _SHOWN_CHARS else header[: _SHOWN_CHARS - 1] + '…'}”"
        for header in headers[:_SHOWN_HEADERS]
    ]
    more = len(headers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
