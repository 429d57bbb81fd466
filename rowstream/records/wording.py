"""What is wrong with a cell, as a code and in words: `must be a real day written YYYY-MM-DD`."""

import re
from collections.abc import Mapping
from typing import Any, Final

import dataframely as dy

from rowstream.records.errors import capped
from rowstream.records.parse import MAX_DIGITS, integer_pattern, number_pattern

_SHOWN: Final = 80
"""Characters of a cell that a message shows."""


def message(field: str, demand: str, value: str) -> str:
    """The sentence that a person reads: the column, what it asks for, and what was found."""
    return f"{field} {demand}, got {capped(value, _SHOWN)!r}"


def violated(rule: str, found: Mapping[str, str | None]) -> str:
    """The sentence for a business rule: what it asks for, and the cells that it looked at."""
    cells = ", ".join(f"{field} {capped(text, _SHOWN)!r}" for field, text in found.items() if text is not None)
    return f"{rule}; got {cells}"


def unparsed(column: dy.Column, value: str) -> tuple[str, str]:
    """Code and demand for a present cell that is no value of its column's type."""
    match column:
        case dy.Date():
            fault = "VAL_002", "must be a real day written YYYY-MM-DD"
        case dy.Datetime():
            fault = "VAL_002", "must be a time written YYYY-MM-DDThh:mm:ssZ, or with an offset such as +02:00"
        case dy.Enum():
            fault = "VAL_004", f"must be one of {', '.join(column.categories)}"
        case dy.Bool():
            fault = "VAL_004", "must be true or false (yes, no, 1 and 0 say it too)"
        case dy.Decimal():
            fault = _unparsed_decimal(column, value)
        case dy.Float() | dy.Float32() | dy.Float64():
            fault = _unparsed_float(column, value)
        case _:
            fault = _unparsed_integer(column, value)
    return fault


def broken(column: dy.Column, rule: str) -> tuple[str, str]:
    """Code and demand for a typed cell that breaks one of its column's rules, named as dataframely names it."""
    limits: dict[str, tuple[str, Any]] = {
        "min": ("must be {} or more", getattr(column, "min", None)),
        "min_exclusive": ("must be more than {}", getattr(column, "min_exclusive", None)),
        "max": ("must be {} or less", getattr(column, "max", None)),
        "max_exclusive": ("must be less than {}", getattr(column, "max_exclusive", None)),
        "min_length": ("must have at least {} bytes", getattr(column, "min_length", None)),
        "max_length": ("must have at most {} bytes", getattr(column, "max_length", None)),
        "resolution": ("must be a whole multiple of {}", getattr(column, "resolution", None)),
    }
    if rule in limits:
        demand, limit = limits[rule]
        return "VAL_011", demand.format(limit)
    said = column.metadata or {}
    if rule == "is_in":
        code, demand = "VAL_004", f"must be one of {', '.join(map(str, getattr(column, 'is_in', ())))}"
    elif rule == "regex":
        code, demand = "VAL_012", f"must match the pattern {getattr(column, 'regex', '')}"
    else:
        code, demand = "VAL_004", "must be an allowed value"
    return str(said.get("error_code", code)), str(said.get("error_message", demand))


def _unparsed_integer(column: dy.Column, value: str) -> tuple[str, str]:
    if re.fullmatch(integer_pattern(column), value):
        low, high = getattr(column, "min_value", None), getattr(column, "max_value", None)
        return "VAL_011", f"must be between {low} and {high}"
    sign = "" if not integer_pattern(column).startswith("^-?") else ", after a minus where it is negative"
    return "VAL_005", f"must be a whole number: the digits 0 to 9, at most {MAX_DIGITS}{sign}"


def _unparsed_float(column: dy.Column, value: str) -> tuple[str, str]:
    if re.fullmatch(number_pattern(column), value):
        return "VAL_011", "must be a number that 64 bits can hold (32 for a Float32)"
    return "VAL_010", "must be a number such as 12.5"


def _unparsed_decimal(column: dy.Decimal, value: str) -> tuple[str, str]:
    if re.fullmatch(number_pattern(column), value):
        digits = (column.precision or 38) - column.scale
        return "VAL_011", f"must have at most {digits} digits before the point and {column.scale} after it"
    return "VAL_010", "must be a number such as 12.5, without an exponent"
