"""Text to types: each cell exactly as its column asks for, or null."""

from collections.abc import Callable, Collection
from typing import Any, Final

import dataframely as dy
import polars as pl

from rowstream.records.white_space import is_blank

MAX_DIGITS: Final = 18
"""Digits of an integer: what every 64-bit type holds."""

_TRUE: Final = ("true", "yes", "1")
_FALSE: Final = ("false", "no", "0")


def present(text: pl.Expr, missing: Collection[str] = ()) -> pl.Expr:
    """The text, null where the cell is missing: nothing but white space, or one of the texts that mean so."""
    absent = is_blank(text) | text.is_in(list(missing)) if missing else is_blank(text)
    return pl.when(~absent).then(text)


def parsed(column: dy.Column, text: pl.Expr) -> pl.Expr:
    """The typed value of present texts; null where a text is not what the column's type asks for."""
    parse: Callable[[Any, pl.Expr], pl.Expr]
    match column:
        case dy.String():
            parse = _string
        case dy.Enum():
            parse = _enum
        case dy.Date():
            parse = _date
        case dy.Datetime():
            parse = _datetime
        case dy.Bool():
            parse = _bool
        case dy.Float32() | dy.Float64() | dy.Float():
            parse = _float
        case dy.Decimal():
            parse = _decimal
        case _:
            parse = _integer
    return parse(column, text)


def may_be_negative(column: dy.Column) -> bool:
    """Whether a minus may lead an integer of this column: not if it is unsigned, or asks for 0 or more."""
    low = getattr(column, "min", None)
    above = getattr(column, "min_exclusive", None)
    return not (
        column.dtype.is_unsigned_integer() or (low is not None and low >= 0) or (above is not None and above >= -1)
    )


def _string(_column: dy.String, text: pl.Expr) -> pl.Expr:
    return text


def _enum(column: dy.Enum, text: pl.Expr) -> pl.Expr:
    return text.cast(column.dtype, strict=False)


def _date(_column: dy.Date, text: pl.Expr) -> pl.Expr:
    right = text.str.contains("^[0-9]{4}-[0-9]{2}-[0-9]{2}$") & (text >= "0001")
    return pl.when(right).then(text).str.to_date("%Y-%m-%d", strict=False)


def _datetime(column: dy.Datetime, text: pl.Expr) -> pl.Expr:
    right = text.str.contains(
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
    )
    return pl.when(right & (text >= "0001")).then(text).str.to_datetime(strict=False).cast(column.dtype, strict=False)


def _bool(_column: dy.Bool, text: pl.Expr) -> pl.Expr:
    low = text.str.to_lowercase()
    return pl.when(low.is_in(list(_TRUE))).then(True).when(low.is_in(list(_FALSE))).then(False)  # noqa: FBT003


def _integer(column: dy.Column, text: pl.Expr) -> pl.Expr:
    sign = "-?" if may_be_negative(column) else ""
    right = text.str.contains(f"^{sign}[0-9]{{1,{MAX_DIGITS}}}$")
    return pl.when(right).then(text).cast(column.dtype, strict=False)


def _float(column: dy.Column, text: pl.Expr) -> pl.Expr:
    right = text.str.contains(r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
    value = pl.when(right).then(text).cast(column.dtype, strict=False)
    return pl.when(value.is_finite()).then(value)


def _decimal(column: dy.Decimal, text: pl.Expr) -> pl.Expr:
    whole = (column.precision or 38) - column.scale
    right = text.str.contains(rf"^-?0*[0-9]{{1,{max(whole, 1)}}}(\.[0-9]{{1,{max(column.scale, 1)}}})?$")
    return pl.when(right).then(text).cast(column.dtype, strict=False)
