"""A small declaration to vary, and ways to look at what becomes of cells."""

from collections.abc import Sequence
from typing import Any

import dataframely as dy
import polars as pl

from rowstream.records import RecordType


def schema(**columns: dy.Column) -> type[dy.Schema]:
    return type("Columns", (dy.Schema,), columns)


def record_type(**changes: Any) -> RecordType:
    """A record type with the key `id`; what is given takes the place of what it says."""
    told: dict[str, Any] = {
        "name": "thing",
        "version": 1,
        "title": "Things",
        "table": "things",
        "schema": schema(id=dy.String(nullable=False), size=dy.Int64(nullable=True)),
        "key": ("id",),
    }
    return RecordType(**(told | changes))


def texts(**columns: Sequence[str | None]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(cells, dtype=pl.String) for name, cells in columns.items()})
