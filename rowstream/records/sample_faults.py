"""What can be wrong with a record of a type: cells that its schema must refuse, and lines that no reader can read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dataframely as dy
import numpy as np
import polars as pl

from rowstream.records.parse import FLOATS, INTEGERS, integer_pattern
from rowstream.records.record_type import RecordType

_NO_DAYS: Final = ("2024-13-01", "2023-02-29", "01/02/2024", "2024-1-5", "yesterday", "20240105")
_NO_TIMES: Final = ("2024-01-05", "2024-01-05T10:00:00", "2024-01-05T25:00:00Z", "noon")
_NO_INTEGERS: Final = ("twelve", "1.5", "12a", "+5", "1 000", "=2+5", "1234567890123456789")
_NO_NUMBERS: Final = ("twelve", "1.2.3", "1,5", "$10", "")
_NO_MATCHES: Final = ("nobody", "nobody@", "@example.org", "a b@example.org", "?", "a")
_BLANKS: Final = ("", "", "  ", "\u00a0")


@dataclass(frozen=True)
class CellFault:
    """Cells that make a record bad, and the code that it is then rejected with."""

    code: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class LineFault:
    """A way to write a record so that it cannot be parsed: from its cells to the bytes of its line."""

    code: str
    write: Callable[[Sequence[str], np.random.Generator], bytes]


Fault = CellFault | LineFault


def faults_of(record_type: RecordType) -> Mapping[str, Sequence[Fault]]:
    """Every fault that this type's records can have, by code."""
    by_code: dict[str, list[Fault]] = {}
    cell_faults: list[Fault] = [*_cell_faults(record_type), *_rule_faults(record_type)]
    for fault in [*cell_faults, *_line_faults(len(record_type.columns))]:
        by_code.setdefault(fault.code, []).append(fault)
    return by_code


def csv_line(cells: Sequence[str]) -> bytes:
    """The cells as a line of a CSV file, without the line's end; quoted where they must be."""
    if list(cells) == [""]:
        return b'""'  # an empty line would be no record
    return ",".join(_quoted(cell) for cell in cells).encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(special in cell for special in ',"\r\n') else cell


def _cell_faults(record_type: RecordType) -> Iterator[CellFault]:
    for name, column in record_type.schema.columns().items():
        if not column.nullable:
            for text in (*_BLANKS, *sorted(record_type.missing)):
                yield CellFault("VAL_001", {name: text})
        for code, text in (*_misread(column), *_out_of_bounds(column), *_mismatches(column)):
            if text.strip() and text not in record_type.missing:
                yield CellFault(code, {name: text})


def _misread(column: dy.Column) -> Iterator[tuple[str, str]]:
    texts: Sequence[str] = ()
    code = ""
    match column:
        case dy.Date():
            code, texts = "VAL_002", _NO_DAYS
        case dy.Datetime():
            code, texts = "VAL_002", _NO_TIMES
        case dy.Enum():
            candidates = ("unknown", "n/a", column.categories[0].upper(), f"{column.categories[0]} ")
            code, texts = "VAL_004", [text for text in candidates if text not in column.categories]
        case dy.Bool():
            code, texts = "VAL_004", ("maybe", "2")
        case _ if isinstance(column, INTEGERS):
            negative = integer_pattern(column).startswith("^-?")
            code, texts = "VAL_005", _NO_INTEGERS if negative else (*_NO_INTEGERS, "-1")
        case _ if isinstance(column, (*FLOATS, dy.Decimal)):
            code, texts = "VAL_010", _NO_NUMBERS
    for text in texts:
        yield code, text


def _out_of_bounds(column: dy.Column) -> Iterator[tuple[str, str]]:
    if isinstance(column, dy.String) and column.max_length is not None:
        yield "VAL_011", "x" * (column.max_length + 1)
    if isinstance(column, INTEGERS):
        if column.max is not None:
            yield "VAL_011", str(column.max + 1)
        if column.min is not None and column.min > 0:
            yield "VAL_011", str(column.min - 1)


def _mismatches(column: dy.Column) -> Iterator[tuple[str, str]]:
    if isinstance(column, dy.String) and column.regex is not None and column.max_length is None:
        matches = pl.Series(_NO_MATCHES).str.contains(column.regex)
        code = str((column.metadata or {}).get("error_code", "VAL_012"))
        for text, match in zip(_NO_MATCHES, matches, strict=True):
            if not match:
                yield code, text


def _rule_faults(record_type: RecordType) -> Iterator[CellFault]:
    for rule in record_type.rules:
        if rule.breaks:
            yield CellFault(rule.code, rule.breaks)


def _line_faults(width: int) -> Iterator[LineFault]:
    yield LineFault("VAL_006", lambda cells, _: csv_line([*cells, "surplus"]))
    if width > 1:
        yield LineFault("VAL_006", lambda cells, _: csv_line(["first", *cells[1:-1]]))
    yield LineFault("VAL_007", lambda cells, rng: _with(cells, rng, lambda cell: cell + b"Jos\xe9"))
    yield LineFault("VAL_007", lambda cells, rng: _with(cells, rng, lambda cell: cell + b"\0"))
    yield LineFault("VAL_008", lambda cells, rng: _with(cells, rng, lambda cell: b'"' + (cell or b"open")))


def _with(cells: Sequence[str], rng: np.random.Generator, change: Callable[[bytes], bytes]) -> bytes:
    """The line with one of its cells changed; without any quote but what the change brings."""
    plain = [cell.replace('"', "").replace(",", "").encode() for cell in cells]
    position = int(rng.integers(len(plain)))
    plain[position] = change(plain[position])
    return b",".join(plain)
