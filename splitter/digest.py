"""The size and the digest of what a chunk holds, taken over its content alone.

Row numbers, cells and rejections count as UTF-8; buffers, blocks and encodings do not. Two splits of one file must
agree on every digest, whatever they read it in.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from splitter.batch import ParseRejection

ENTRY_BYTES = 8
"""What a record or rejection counts beside its text: its row number."""

Sizes = npt.NDArray[np.int64]


def record_sizes(records: pa.Table) -> Sizes:
    """The bytes of each record: its row number and its cells."""
    sizes = np.full(records.num_rows, ENTRY_BYTES, np.int64)
    for column in records.columns[1:]:
        sizes += np.diff(_bounds(_array(column)))
    return sizes


def rejection_size(rejection: ParseRejection) -> int:
    """The bytes of a rejection: its row number and its texts."""
    return ENTRY_BYTES + sum(len(text) for text in _texts(rejection))


def content_digest(records: pa.Table, rejections: Sequence[ParseRejection]) -> bytes:
    """XXH3, 16 bytes: equal for equal row numbers, cells and rejections, and for nothing else that will ever be met.

    Column by column the cells' lengths, then their bytes: what belongs to which cell is part of it.
    """
    digest = xxhash.xxh3_128(struct.pack("<3q", records.num_rows, records.num_columns, len(rejections)))
    row_numbers, *cells = records.columns
    digest.update(row_numbers.to_numpy().astype("<i8", copy=False).tobytes())
    arrays = [_array(column) for column in cells]
    bounds = np.array([_bounds(array) for array in arrays])
    digest.update(np.diff(bounds).astype("<i4", copy=False).tobytes())
    for array, start, end in zip(arrays, bounds[:, 0].tolist(), bounds[:, -1].tolist(), strict=True):
        if end > start:
            digest.update(memoryview(array.buffers()[2])[start:end])
    for rejection in rejections:
        digest.update(struct.pack("<q", rejection.row_number))
        for text in _texts(rejection):
            digest.update(struct.pack("<i", len(text)))
            digest.update(text)
    return digest.digest()


def _texts(rejection: ParseRejection) -> Iterator[bytes]:
    return (text.encode() for text in (rejection.code, rejection.message, rejection.raw))


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _bounds(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text begins in the array's bytes, and where the last one ends."""
    if not len(texts):
        return np.zeros(1, np.int32)
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
