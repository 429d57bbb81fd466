"""Realistic files with planted faults, and the truth about them: which rows must be rejected, and why."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO

import numpy as np
import polars as pl

from rowstream.errors import Fatal
from rowstream.records.record_type import RecordType
from rowstream.records.sample_cells import from_declaration
from rowstream.records.sample_faults import CellFault, Fault, LineFault, csv_line, faults_of

_BLOCK: Final = 50_000
_REMEMBERED: Final = 1_000
"""Good rows of the block before that a duplicate may repeat."""
_SECOND_FAULT: Final = 0.15
"""Share of the records with a faulty cell that have another one."""


@dataclass(frozen=True)
class _Planted:
    """A line that takes the place of a good one, and the codes that its record must be rejected with."""

    line: bytes
    codes: tuple[str, ...]


def write_sample(
    record_type: RecordType,
    rows: int,
    *,
    output: BinaryIO,
    truth: TextIO | None = None,
    bad: float = 0.01,
    duplicates: float = 0.005,
    seed: int = 0,
) -> None:
    """Write a CSV file of records as they come from real systems: unsorted, some bad, some twice.

    The same arguments write the same bytes. Memory does not grow with the number of rows.

    Args:
        record_type: What the records are.
        rows: Records, beside the header; bad ones and duplicates are among them.
        output: Takes the file; binary, because some of the faults are bytes that are no text.
        truth: Takes one JSON object a line for each record that must be rejected if the file is loaded into an empty
            table, in the file's order: `row_number` (the header is row 1), `error_code`, and `error_codes`, the codes
            of all its errors in order.
        bad: Share of the records that have a fault, of every kind that the type's schema allows.
        duplicates: Share of the records that repeat an earlier, good one.
        seed: Another one makes another file.

    Raises:
        Fatal: The record type has no sampler and none can be made from its schema, or its sampler's cells hold line
            ends or begin with a comma.
    """
    faults = faults_of(record_type)
    output.write(csv_line(record_type.columns) + b"\n")
    remembered = pl.DataFrame(schema=dict.fromkeys(record_type.columns, pl.String))
    for start in range(0, rows, _BLOCK):
        rng = np.random.default_rng([seed, start])
        count = min(_BLOCK, rows - start)
        cells = _sampled(record_type, _numbers(start, count, seed), rng)
        kind = rng.random(count)
        is_bad, wants_copy = kind < bad, (kind >= bad) & (kind < bad + duplicates)
        cells, is_copy = _with_copies(cells, remembered, ~(is_bad | wants_copy), wants_copy, rng)
        planted = {row: _plant(cells.row(row), record_type, faults, rng) for row in np.flatnonzero(is_bad).tolist()}
        _write_lines(cells, planted, output)
        if truth is not None:
            _write_truth(start + 2, planted, is_copy, truth)
        remembered = cells.filter(pl.Series(~(is_bad | is_copy))).tail(_REMEMBERED)


def template(record_type: RecordType) -> str:
    """A CSV file to fill in: the header and two records as examples.

    Raises:
        Fatal: As `write_sample`.
    """
    examples = _sampled(record_type, np.arange(1, 3), np.random.default_rng(1)).rows()
    lines = [csv_line(record_type.columns), *(csv_line([cell or "" for cell in row]) for row in examples)]
    return "".join(f"{line.decode()}\n" for line in lines)


def _numbers(start: int, count: int, seed: int) -> np.ndarray:
    """Numbers of records, each once in a file and in no order: a bijection of 32 bits, mixed by the seed."""
    x = np.arange(start, start + count, dtype=np.uint32) ^ np.uint32(seed * 2_654_435_761 & 0xFFFF_FFFF)
    for factor in (0x7FEB_352D, 0x846C_A68B):  # odd factors and xor-shifts can be undone, so no two numbers meet
        x = (x ^ (x >> np.uint32(16))) * np.uint32(factor)
    return (x ^ (x >> np.uint32(15))).astype(np.int64)


def _sampled(record_type: RecordType, numbers: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    if record_type.sample is None:
        cells = from_declaration(record_type, numbers, rng)
    else:
        cells = record_type.sample(numbers, rng)
    cells = cells.select(pl.when(pl.col(name) != "").then(pl.col(name)) for name in record_type.columns)
    # An unclosed quote planted above such a cell would close at the quote that the comma makes necessary.
    if any(cells.select(pl.all().str.starts_with(",").any()).row(0)):
        raise Fatal(
            f"the sampler of {record_type.name!r} makes cells that begin with a comma; let them begin otherwise"
        )
    return cells


def _with_copies(
    cells: pl.DataFrame, remembered: pl.DataFrame, good: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> tuple[pl.DataFrame, np.ndarray]:
    """The cells with some rows replaced by copies of earlier good ones, and which rows those are."""
    earlier = remembered.height + np.concatenate(([0], np.cumsum(good)[:-1]))  # good rows before each row
    is_copy = wanted & (earlier > 0)
    sources = np.concatenate((np.arange(remembered.height), remembered.height + np.flatnonzero(good)))
    taken = np.arange(remembered.height, remembered.height + cells.height)
    taken[is_copy] = sources[(rng.random(is_copy.sum()) * earlier[is_copy]).astype(np.int64)]
    return pl.concat([remembered, cells])[taken], is_copy


def _plant(
    row: Sequence[str | None], record_type: RecordType, faults: Mapping[str, Sequence[Fault]], rng: np.random.Generator
) -> _Planted:
    codes = list(faults)
    fault = _choice(faults[codes[int(rng.integers(len(codes)))]], rng)
    cells = dict(zip(record_type.columns, (cell or "" for cell in row), strict=True))
    if isinstance(fault, LineFault):
        return _Planted(fault.write(list(cells.values()), rng), (fault.code,))
    planted = [fault]
    if fault.code.startswith("VAL_") and rng.random() < _SECOND_FAULT:
        planted.extend(_second(fault, faults, rng))
    for each in planted:
        cells.update(each.cells)
    found = sorted(each.code for each in planted)
    told_in_one = found.count("VAL_001") > 1  # all missing cells of a record are one error
    return _Planted(csv_line(list(cells.values())), tuple(found[1:] if told_in_one else found))


def _second(first: CellFault, faults: Mapping[str, Sequence[Fault]], rng: np.random.Generator) -> Iterator[CellFault]:
    others = [
        fault
        for code, of_code in faults.items()
        for fault in of_code
        if code.startswith("VAL_") and isinstance(fault, CellFault) and not fault.cells.keys() & first.cells.keys()
    ]
    if others:
        yield others[int(rng.integers(len(others)))]


def _choice(faults: Sequence[Fault], rng: np.random.Generator) -> Fault:
    return faults[int(rng.integers(len(faults)))]


def _write_lines(cells: pl.DataFrame, planted: Mapping[int, _Planted], output: BinaryIO) -> None:
    lines = cells.write_csv(include_header=False).encode().split(b"\n")
    if len(lines) != cells.height + 1:
        raise Fatal("a sampler makes cells with line ends; let it make cells without")
    for row, one in planted.items():
        lines[row] = one.line
    output.write(b"\n".join(lines))


def _write_truth(first_row: int, planted: Mapping[int, _Planted], is_copy: np.ndarray, truth: TextIO) -> None:
    rejected = {row: one.codes for row, one in planted.items()} | dict.fromkeys(
        np.flatnonzero(is_copy).tolist(), ("DUP_001",)
    )
    for row in sorted(rejected):
        codes = rejected[row]
        truth.write(json.dumps({"row_number": first_row + row, "error_code": codes[0], "error_codes": codes}) + "\n")
