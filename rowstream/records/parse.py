"""Text to types: each cell exactly as its column asks for, or null.

Polars casts more than we promise to take (`2024-1-5`, `+5`), so every cast stands behind a stricter test of the text.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import dataframely as dy
import polars as pl

from rowstream.records.white_space import is_blank

MAX_DIGITS: Final = 18
"""Digits of an integer: as many as every 64-bit type holds."""

_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET: Final = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_TRUE: Final = ("true", "yes", "1")
_FALSE: Final = ("false", "no", "0")


def present(text: pl.Expr, missing: Collection[str] = ()) -> pl.Expr:
    """The text, null where the cell is missing: nothing but white space, or one of the texts that mean so."""
    absent = is_blank(text) | text.is_in(sorted(missing)) if missing else is_blank(text)
    return pl.when(~absent).then(text)


def parsed(column: dy.Column, text: pl.Expr) -> pl.Expr:
    """The typed value of present texts; null where a text is not what the column's type asks for.

    Raises:
        KeyError: The column's type is none that a declaration may have.
    """
    return _PARSERS[type(column)](column, text)


def integer_pattern(column: dy.Column) -> str:
    """What an integer of this column looks like: a minus may lead it unless the column asks for 0 or more."""
    low, above = getattr(column, "min", None), getattr(column, "min_exclusive", None)
    positive = (
        column.dtype.is_unsigned_integer() or (low is not None and low >= 0) or (above is not None and above >= -1)
    )
    return f"^{'' if positive else '-?'}[0-9]{{1,{MAX_DIGITS}}}$"


def number_pattern(column: dy.Column) -> str:
    """What a number of this column looks like: with an exponent where it is a float, without where it is a decimal."""
    return (
        r"^-?[0-9]+(?:\.[0-9]+)?$" if isinstance(column, dy.Decimal) else r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
    )


def _string(_column: dy.Column, text: pl.Expr) -> pl.Expr:
    return text


def _enum(column: dy.Column, text: pl.Expr) -> pl.Expr:
    return text.cast(column.dtype, strict=False)


def _date(_column: dy.Column, text: pl.Expr) -> pl.Expr:
    right = text.str.contains(f"^{_DATE}$") & (text >= "0001")  # year 0 is no year of Python's, nor of Postgres's
    return pl.when(right).then(text.str.to_date("%Y-%m-%d", strict=False, cache=False))


def _datetime(column: dy.Column, text: pl.Expr) -> pl.Expr:
    right = text.str.contains(f"^{_DATE}[T ]{_TIME}{_OFFSET}$")
    iso = text.str.replace(" ", "T", literal=True).str.replace("Z", "+00:00", literal=True)
    moment = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, cache=False)
    # An offset may carry the first and the last day of the calendar out of it.
    right &= moment.dt.year().is_between(1, 9999)
    return pl.when(right).then(moment.cast(column.dtype, strict=False))


def _bool(_column: dy.Column, text: pl.Expr) -> pl.Expr:
    low = text.str.to_lowercase()
    return pl.when(low.is_in(_TRUE)).then(pl.lit(value=True)).when(low.is_in(_FALSE)).then(pl.lit(value=False))


def _integer(column: dy.Column, text: pl.Expr) -> pl.Expr:
    pattern = integer_pattern(column)
    if pattern.startswith("^-?"):
        right = text.str.contains(pattern)
    else:
        # The cast takes digits with a sign before them; signs sort before digits. Twice as fast as the pattern.
        right = (text >= "0") & (text.str.len_bytes() <= MAX_DIGITS)
    return pl.when(right).then(text.cast(column.dtype, strict=False))


def _float(column: dy.Column, text: pl.Expr) -> pl.Expr:
    value = text.cast(column.dtype, strict=False)
    return pl.when(text.str.contains(number_pattern(column)) & value.is_finite()).then(value)


def _decimal(column: dy.Column, text: pl.Expr) -> pl.Expr:
    scale, precision = column.dtype.scale, column.dtype.precision  # type: ignore[attr-defined]
    whole = (precision or 38) - scale
    # The cast rounds away further decimals; nobody's money is to be rounded unasked.
    decimals = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
    right = text.str.contains(rf"^-?0*[0-9]{{1,{max(whole, 1)}}}{decimals}$")
    return pl.when(right).then(text.cast(column.dtype, strict=False))


INTEGERS: Final = (dy.Integer, dy.Int8, dy.Int16, dy.Int32, dy.Int64, dy.UInt8, dy.UInt16, dy.UInt32, dy.UInt64)
FLOATS: Final = (dy.Float, dy.Float32, dy.Float64)
_PARSERS: Final[Mapping[type[dy.Column], Callable[[Any, pl.Expr], pl.Expr]]] = {
    dy.String: _string,
    dy.Enum: _enum,
    dy.Date: _date,
    dy.Datetime: _datetime,
    dy.Bool: _bool,
    dy.Decimal: _decimal,
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(FLOATS, _float),
}
CELL_TYPES: Final = tuple(_PARSERS)
"""The dataframely columns that a cell can be read as."""
