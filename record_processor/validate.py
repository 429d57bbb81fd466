"""Decides of each record of a batch whether it is good, and if not, what is wrong with which of its cells.

Pure, and record by record: what is found of a record does not depend on the records beside it. Everything runs over
whole columns; only cells that something is wrong with are ever touched one by one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import dataframely as dy
import polars as pl

from rowstream.records import CellError, RecordType
from rowstream.records.errors import capped
from rowstream.records.parse import parsed, present
from rowstream.records.white_space import is_surely_text
from rowstream.records.wording import broken, message, unparsed, violated

_Fault = tuple[int, int, CellError]
"""Record, position among the columns or rules, error."""


@dataclass(frozen=True)
class Validated:
    """What became of a batch; each record is in one of the two, never in both.

    Attributes:
        good: `record`, the typed columns in the schema's order (null where a cell is missing), the derived columns; in
            the order of the batch.
        faults: All errors of each bad record, by record in ascending order; ordered by code, then by column.
    """

    good: pl.DataFrame
    faults: Mapping[int, tuple[CellError, ...]]


def validate(texts: pl.DataFrame, record_type: RecordType) -> Validated:
    """Parse the cells, judge them by the schema, then the records without a fault by the business rules.

    Args:
        texts: Int64 column `record`, unique in the batch, and one String column for each of the record type's columns
            that the file has; a null or empty text is a missing cell.
        record_type: What the records are to be.
    """
    typed, misread = _read(texts, record_type)
    rules = [rule.violated.fill_null(value=False) for rule in record_type.rules]
    typed = typed.with_columns(suspect=pl.any_horizontal(pl.lit(value=False), *misread, *rules))
    good, failure = _judged(record_type.schema).filter(typed)
    derived = {name: derived.value for name, derived in record_type.derived.items()}
    accepted = pl.DataFrame(good).select("record", *record_type.columns, **derived)
    return Validated(accepted, _faults(texts, failure.details(), record_type) if len(failure) else {})


@cache
def _judged(schema: type[dy.Schema]) -> type[dy.Schema]:
    """The schema with two further columns: `record`, and `suspect`, true where more than a column's rule is broken."""
    further = {"record": dy.Int64(nullable=True), "suspect": dy.Bool(nullable=True, check=lambda suspect: ~suspect)}
    return type(f"Judged{schema.__name__}", (schema,), further)


def _read(texts: pl.DataFrame, record_type: RecordType) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """`record` and the typed columns; and for columns with cells that are no value of their type, which cells.

    Most cells are what their column asks for, or empty. Looking for white space costs more than all the rest, so only
    columns where something else was found are looked at again.
    """
    columns = record_type.schema.columns()
    given = {name: column for name, column in columns.items() if name in texts.columns}
    told = {name: _unless(pl.col(name), record_type.missing) for name in given}
    typed = texts.select("record", *(_read_quickly(column, told[name]).alias(name) for name, column in given.items()))
    again = [name for name in given if (texts[name].filter(typed[name].is_null()) != "").any()]
    cells = texts.select(present(told[name]).alias(name) for name in again)
    strings = [name for name in again if isinstance(given[name], dy.String)]
    misread = [
        pl.lit(cells[name].is_not_null() & typed[name].is_null())
        for name in again
        if name not in strings and cells[name].null_count() < typed[name].null_count()
    ]
    absent = [pl.lit(None, column.dtype).alias(name) for name, column in columns.items() if name not in given]
    return typed.with_columns(*cells.select(strings), *absent), misread


def _read_quickly(column: dy.Column, text: pl.Expr) -> pl.Expr:
    """The typed value, or null where there is none or it is not worth the time to tell."""
    return pl.when(is_surely_text(text)).then(text) if isinstance(column, dy.String) else parsed(column, text)


def _unless(text: pl.Expr, missing: Collection[str]) -> pl.Expr:
    return pl.when(pl.all_horizontal(text != word for word in missing)).then(text) if missing else text


def _faults(texts: pl.DataFrame, details: pl.DataFrame, record_type: RecordType) -> dict[int, tuple[CellError, ...]]:
    cells = _present_cells(texts.filter(pl.col("record").is_in(details["record"].implode())), record_type)
    faults = [*_misread(cells, details, record_type), *_broken(cells, details, record_type)]
    invalid = pl.Series([record for record, _, _ in faults], dtype=pl.Int64)
    faults += _violations(cells, details.filter(~pl.col("record").is_in(invalid.implode())), record_type)

    faults.sort(key=lambda fault: (fault[0], fault[2].code, fault[1]))
    by_record: defaultdict[int, list[CellError]] = defaultdict(list)
    for record, _, error in faults:
        by_record[record].append(error)
    return {record: tuple(errors) for record, errors in by_record.items()}


def _present_cells(texts: pl.DataFrame, record_type: RecordType) -> pl.DataFrame:
    """`record` and a text column for each of the type's columns; null where a cell is missing or its column absent."""
    nothing = pl.lit(None, pl.String)
    return texts.select(
        "record",
        *(
            (present(pl.col(name), record_type.missing) if name in texts.columns else nothing).alias(name)
            for name in record_type.columns
        ),
    )


def _misread(cells: pl.DataFrame, typed: pl.DataFrame, record_type: RecordType) -> Iterator[_Fault]:
    """The cells that are there, but are no value of their column's type."""
    columns = list(record_type.schema.columns().items())
    misread = cells.select((pl.col(name).is_not_null() & typed[name].is_null()).alias(name) for name, _ in columns)
    bad = misread.select(pl.any_horizontal(pl.all())).to_series()
    for (record, *texts), flags in zip(cells.filter(bad).iter_rows(), misread.filter(bad).iter_rows(), strict=True):
        for position, ((name, column), text, is_misread) in enumerate(zip(columns, texts, flags, strict=True)):
            if is_misread:
                yield record, position, _error(name, unparsed(column, text), text)


def _broken(cells: pl.DataFrame, details: pl.DataFrame, record_type: RecordType) -> Iterator[_Fault]:
    """The typed cells that break a rule of their column, by its first one; the missing ones, all of a record in one."""
    missing: defaultdict[int, list[str]] = defaultdict(list)
    told: set[tuple[int, str]] = set()
    columns = record_type.schema.columns()
    positions = {name: position for position, name in enumerate(columns)}
    for judgement in _broken_somewhere(details):
        name, _, rule = judgement.partition("|")
        invalid = cells.filter(details[judgement] == "invalid")
        if rule == "nullability":  # a cell that was misread is null by now, but it was not missing
            for record, _ in _rows(invalid.filter(pl.col(name).is_null()), name):
                missing[record].append(name)
            continue
        for record, text in _rows(invalid, name):
            if (record, name) not in told:
                told.add((record, name))
                yield record, positions[name], _error(name, broken(columns[name], rule), text)
    for record, names in missing.items():
        fields = ", ".join(names)
        yield record, 0, CellError(fields, "VAL_001", f"{fields} must not be empty", None)


def _broken_somewhere(details: pl.DataFrame) -> list[str]:
    """The columns of judgements, named `column|rule` in the schema's order, that are not all favourable."""
    judgements = [name for name in details.columns if "|" in name and not name.startswith("suspect|")]
    found = details.select((pl.col(judgements) == "invalid").any()).row(0)
    return [name for name, any_invalid in zip(judgements, found, strict=True) if any_invalid]


def _violations(cells: pl.DataFrame, typed: pl.DataFrame, record_type: RecordType) -> Iterator[_Fault]:
    """The business rules that otherwise faultless records break."""
    for position, rule in enumerate(record_type.rules):
        breaking = typed.filter(rule.violated)["record"]
        for record, *texts in _rows(cells.filter(pl.col("record").is_in(breaking.implode())), *rule.fields):
            found = dict(zip(rule.fields, texts, strict=True))
            value = ", ".join(text or "" for text in texts)
            yield record, position, CellError(", ".join(found), rule.code, violated(rule.message, found), capped(value))


def _rows(frame: pl.DataFrame, *names: str) -> Iterable[tuple[Any, ...]]:
    return frame.select("record", *names).iter_rows()


def _error(name: str, fault: tuple[str, str], text: str) -> CellError:
    code, demand = fault
    return CellError(name, code, message(name, demand, text), capped(text))
