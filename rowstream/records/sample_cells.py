"""What samplers are made of: columns of realistic cells, always the same for the same generator."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import dataframely as dy
import numpy as np
import polars as pl

from rowstream.errors import Fatal
from rowstream.records.parse import FLOATS, INTEGERS, parsed
from rowstream.records.record_type import RecordType

_FIRST_DAY: Final = dt.date(2020, 1, 1)
_LAST_DAY: Final = dt.date(2024, 12, 31)
_WAY_OUT: Final = "give the record type a sample="


def pick(choices: Sequence[str], rng: np.random.Generator, rows: int) -> pl.Series:
    """One of the choices for each row, each as likely; repeat a choice to make it likelier."""
    return pl.Series(choices, dtype=pl.String).gather(pl.Series(rng.integers(0, len(choices), rows)))


def whole(low: int, high: int, rng: np.random.Generator, rows: int) -> pl.Series:
    """Whole numbers from low to high, both included, as texts."""
    return pl.Series(rng.integers(low, high, rows, endpoint=True)).cast(pl.String)


def padded(numbers: np.ndarray, width: int, prefix: str = "") -> pl.Series:
    """Numbers as texts of equal width, zeros in front: `M0000000042`."""
    return pl.select(prefix + pl.Series(numbers).cast(pl.String).str.zfill(width)).to_series()


def days(first: dt.date, last: dt.date, rng: np.random.Generator, rows: int) -> pl.Series:
    """Days from first to last, both included, written YYYY-MM-DD."""
    calendar = pl.date_range(first, last, eager=True).dt.to_string("%Y-%m-%d")
    return calendar.gather(pl.Series(rng.integers(0, len(calendar), rows)))


def some_empty(cells: pl.Series, share: float, rng: np.random.Generator) -> pl.Series:
    """The cells, a share of them empty."""
    return cells.set(pl.Series(rng.random(len(cells)) < share), None)


def from_declaration(record_type: RecordType, numbers: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Cells for a record type that brings no sampler: valid, if not very lifelike.

    Raises:
        Fatal: The declaration asks for more than can be guessed, such as a pattern; the type has to bring a sampler.
    """
    columns = record_type.schema.columns()
    numbered = next((name for name in record_type.key if _takes_any_number(columns[name])), None)
    if numbered is None:
        raise Fatal(f"no column of the key {record_type.key} takes a number of any size; {_WAY_OUT}")
    made = pl.DataFrame([_column(name, column, rng, len(numbers)).alias(name) for name, column in columns.items()])
    prefix = f"{numbered}-" if isinstance(columns[numbered], dy.String) else ""
    return _lawful(made, record_type).with_columns(padded(numbers, 10, prefix).alias(numbered))


def _lawful(cells: pl.DataFrame, record_type: RecordType) -> pl.DataFrame:
    """The cells, those of records that break a business rule replaced by others' that do not."""
    typed = cells.select(parsed(column, pl.col(name)) for name, column in record_type.schema.columns().items())
    rules = [rule.violated.fill_null(value=False) for rule in record_type.rules]
    if not rules:
        return cells
    broken = typed.select(pl.any_horizontal(rules)).to_series()
    if broken.all():
        raise Fatal(f"no record can be guessed that keeps the business rules; {_WAY_OUT}")
    lawful = cells.filter(~broken)
    sources = (~broken).cum_sum().cast(pl.Int64) - 1  # the last lawful one above, or the first of all
    return lawful[sources.clip(0).to_numpy()]


def _takes_any_number(column: dy.Column) -> bool:
    if column.check is not None:
        return False
    if isinstance(column, dy.String):
        return column.regex is None and column.max_length is None
    return isinstance(column, (dy.Int64, dy.UInt64, dy.Integer)) and column.max is None and column.is_in is None


def _column(name: str, column: dy.Column, rng: np.random.Generator, rows: int) -> pl.Series:
    cells = _guess(name, column, rng, rows)
    if cells is None and not column.nullable:
        raise Fatal(f"no cell can be guessed for the column {name!r}; {_WAY_OUT}")
    empty = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    return empty if cells is None else some_empty(cells, 0.2 if column.nullable else 0, rng)


def _guess(name: str, column: dy.Column, rng: np.random.Generator, rows: int) -> pl.Series | None:
    cells = None
    match column:
        case _ if column.check is not None:
            pass
        case dy.Enum():
            cells = pick(column.categories, rng, rows)
        case dy.Bool():
            cells = pick(["true", "false"], rng, rows)
        case dy.Date():
            cells = days(column.min or _FIRST_DAY, column.max or _LAST_DAY, rng, rows)
        case dy.Datetime():
            cells = pl.select(days(_FIRST_DAY, _LAST_DAY, rng, rows) + "T12:30:00Z").to_series()
        case dy.String() if column.regex is None and column.min_length is None and column.max_length is None:
            cells = pl.select(pl.lit(f"{name} ") + whole(1, 999, rng, rows)).to_series()
        case _ if isinstance(column, (*INTEGERS, *FLOATS, dy.Decimal)):
            low, high = getattr(column, "min", None), getattr(column, "max", None)
            least = 0 if low is None else int(low)
            cells = whole(least, least + 100 if high is None else int(high), rng, rows)
    return cells
