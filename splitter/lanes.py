"""Which lane a record goes to: equal keys, however written, go to one lane, where their order is the file's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh
import pyarrow as pa

from rowstream.records import RecordType
from rowstream.records.canonical import canonical_key
from splitter.batch import ROW_NUMBER
from splitter.header import Column

Lanes = npt.NDArray[np.int64]

HASH = "xxhash64"
"""Of the key's parts in canonical form, UTF-8, joined by U+001F; seed 0. A plan names it, so it never changes."""

_JOINT = "\x1f"


def lane_of_row(row_number: int, lanes: int) -> int:
    """The lane of a record whose key can't be read."""
    return row_number % lanes


def lanes_of(records: pa.Table, columns: Sequence[Column], record_type: RecordType, lanes: int) -> Lanes:
    """The lane of each record, from 0 to `lanes` - 1.

    Args:
        records: A batch's records.
        columns: What their cells are; all key columns are among them.
        record_type: Says what the key is and when two are equal.
        lanes: How many there are.
    """
    if lanes == 1:
        return np.zeros(records.num_rows, np.int64)
    positions = {column.name: f"c{position}" for position, column in enumerate(columns)}
    cells = {name: pl.from_arrow(records.column(positions[name])) for name in record_type.key}
    key = plh.concat_str(*canonical_key(record_type), separator=_JOINT)
    rows = pl.from_arrow(records.column(ROW_NUMBER)).cast(pl.UInt64)
    lane = pl.coalesce(key.nchash.xxhash64(), "row_number") % lanes
    frame = pl.DataFrame({**cells, ROW_NUMBER: rows})
    return frame.select(lane.cast(pl.Int64)).to_series().to_numpy()
