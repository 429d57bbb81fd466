"""Keys as text, so that equal keys, however written, are equal texts and go to one lane."""

import dataframely as dy
import polars as pl

from rowstream.records.parse import parsed, present
from rowstream.records.record_type import RecordType


def canonical_key(record_type: RecordType) -> tuple[pl.Expr, ...]:
    """One expression for each key column, over text columns named as the record type's columns.

    Each gives a String named as the column: null where the cell is missing; the same text for every way to write one
    value; some text, always the same, where the cell is no value at all (the record will be rejected, in any lane).
    It runs over every record of a file, so it does no more than its type needs.
    """
    columns = record_type.schema.columns()
    return tuple(_canonical(record_type, name, columns[name]).alias(name) for name in record_type.key)


def _canonical(record_type: RecordType, name: str, column: dy.Column) -> pl.Expr:
    text = present(pl.col(name), record_type.missing)
    if isinstance(column, (dy.String, dy.Enum, dy.Date)):
        return text  # one value is written in one way only
    return pl.coalesce(parsed(column, text).cast(pl.String), text)
