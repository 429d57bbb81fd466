"""Decides of each record of a batch whether it is good, and if not, what is wrong with which of its cells.

Pure, and record by record: what is found of a record does not depend on the records beside it. Everything runs over
whole columns; only cells that something is wrong with are ever touched one by one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
    columns = record_type.schema.columns()
    cells = _present_cells(texts, record_type)
    typed = cells.select("record", *(parsed(column, pl.col(name)).alias(name) for name, column in columns.items()))
    typed = typed.with_columns(_suspects(cells, typed, record_type))
    good, failure = _judged(record_type.schema).filter(typed)
    derived = {name: derived.value for name, derived in record_type.derived.items()}
    accepted = pl.DataFrame(good).select("record", *record_type.columns, **derived)
    return Validated(accepted, _faults(cells, failure.details(), record_type) if len(failure) else {})


@cache
def _judged(schema: type[dy.Schema]) -> type[dy.Schema]:
    """The schema with two further columns: `record`, and `suspect`, true where more than a column's rule is broken."""
    further = {"record": dy.Int64(nullable=True), "suspect": dy.Bool(nullable=True, check=lambda suspect: ~suspect)}
    return type(f"Judged{schema.__name__}", (schema,), further)


def _present_cells(texts: pl.DataFrame, record_type: RecordType) -> pl.DataFrame:
    """`record` and a text column for each of the type's columns; null where a cell is missing or its column absent."""
    given = [name for name in record_type.columns if name in texts.columns]
    sure = texts.select("record", *(pl.when(is_surely_text(pl.col(name))).then(pl.col(name)) for name in given))
    # Empty cells are as common as full ones. Only what starts with white space or beyond ASCII is looked at again.
    again = [name for name in given if record_type.missing or (texts[name].filter(sure[name].is_null()) != "").any()]
    checked = sure.with_columns(texts.select(present(pl.col(name), record_type.missing) for name in again))
    absent = (pl.lit(None, pl.String).alias(name) for name in record_type.columns if name not in given)
    return checked.with_columns(absent).select("record", *record_type.columns)


def _suspects(cells: pl.DataFrame, typed: pl.DataFrame, record_type: RecordType) -> pl.Expr:
    """Whether a record has a cell that could not be read as its type, or breaks a business rule."""
    misread = [
        pl.lit(cells[name].is_not_null() & typed[name].is_null())
        for name in record_type.columns
        if typed[name].null_count() > cells[name].null_count()
    ]
    rules = [rule.violated.fill_null(value=False) for rule in record_type.rules]
    return pl.any_horizontal(pl.lit(value=False), *misread, *rules).alias("suspect")


def _faults(cells: pl.DataFrame, details: pl.DataFrame, record_type: RecordType) -> dict[int, tuple[CellError, ...]]:
    cells = cells.filter(pl.col("record").is_in(details["record"].implode()))
    faults = [*_misread(cells, details, record_type), *_broken(cells, details, record_type)]
    invalid = pl.Series([record for record, _, _ in faults], dtype=pl.Int64)
    faults += _violations(cells, details.filter(~pl.col("record").is_in(invalid.implode())), record_type)

    faults.sort(key=lambda fault: (fault[0], fault[2].code, fault[1]))
    by_record: defaultdict[int, list[CellError]] = defaultdict(list)
    for record, _, error in faults:
        by_record[record].append(error)
    return {record: tuple(errors) for record, errors in by_record.items()}


def _misread(cells: pl.DataFrame, typed: pl.DataFrame, record_type: RecordType) -> Iterator[_Fault]:
    """The cells that are there, but are no value of their column's type."""
    for position, (name, column) in enumerate(record_type.schema.columns().items()):
        if typed[name].null_count() > cells[name].null_count():
            misread = cells.filter(typed[name].is_null() & cells[name].is_not_null())
            for record, text in _rows(misread, name):
                yield record, position, _error(name, unparsed(column, text), text)


def _broken(cells: pl.DataFrame, details: pl.DataFrame, record_type: RecordType) -> Iterator[_Fault]:
    """The typed cells that break a rule of their column, by its first one; the missing ones, all of a record in one."""
    missing: defaultdict[int, list[str]] = defaultdict(list)
    for position, (name, column) in enumerate(record_type.schema.columns().items()):
        told: set[int] = set()
        for judgement in (full for full in details.columns if full.startswith(f"{name}|")):
            rule = judgement.removeprefix(f"{name}|")
            invalid = cells.filter(details[judgement] == "invalid")
            if rule == "nullability":  # a cell that was misread is null by now, but it was not missing
                for record, _ in _rows(invalid.filter(pl.col(name).is_null()), name):
                    missing[record].append(name)
                continue
            for record, text in _rows(invalid, name):
                if record not in told:
                    told.add(record)
                    yield record, position, _error(name, broken(column, rule), text)
    for record, names in missing.items():
        fields = ", ".join(names)
        yield record, 0, CellError(fields, "VAL_001", f"{fields} must not be empty", None)


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
