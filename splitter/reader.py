"""Reads a file's records in batches: blocks proved clean at once, in others each line that is not clean by itself."""

from collections.abc import Iterator

import numpy as np

from rowstream.records import RecordType
from rowstream.runtime.metrics import BLOCKS_READ
from splitter.batch import Batch, ParseRejection, as_before_report
from splitter.blocks import prove
from splitter.fast_reader import read_block
from splitter.header import Column, FileRejected, Header, read_header
from splitter.limits import Limits
from splitter.lookahead import Lookahead, Readable
from splitter.mixed_reader import read_mixed

__all__ = [
    "BLOCK_BYTES",
    "PARSER_RULES",
    "Batch",
    "Column",
    "FileRejected",
    "ParseRejection",
    "Reading",
    "open_reading",
]

BLOCK_BYTES = 4 << 20
PARSER_RULES = 2
"""The newest rules of reading. By the first, an error report handed in again kept its apostrophes before formulas."""

_RESTORES_REPORTS = 2


class Reading:
    """The records of one file, to be iterated once.

    Records, rejections and row numbers depend on the file's bytes and the limits alone; how they are batched does not
    matter to anybody.

    Attributes:
        columns: The columns of each batch's cells `c0`, `c1`, ...
    """

    def __init__(self, source: Lookahead, header: Header, limits: Limits, block_bytes: int) -> None:
        self.columns: tuple[Column, ...] = header.columns
        self._source = source
        self._header = header
        self._limits = limits
        self._block_bytes = block_bytes

    @property
    def bytes_read(self) -> int:
        """Bytes of the file that the header and the batches handed out so far cover."""
        return self._source.offset

    def __iter__(self) -> Iterator[Batch]:
        """Batches in the file's order, none of them empty.

        Raises whatever the stream raises.
        """
        source, header, limits = self._source, self._header, self._limits
        size, row = self._block_bytes, header.row + 1
        while not source.exhausted:
            source.fill(size)
            data = source.data[source.at : source.at + size]
            last = source.ended and source.at + len(data) == len(source.data)
            block = prove(data, last=last, max_record_bytes=limits.max_record_bytes)
            if block is not None:
                batch = read_block(block, np.arange(row, row + block.ends.size), header, limits)
                row += block.ends.size
                source.advance_to(source.at + block.size)
            else:
                batch, row = read_mixed(source, row, size, header, limits)
            BLOCKS_READ.labels("mixed" if block is None else "fast").inc()
            if header.defused:
                batch = as_before_report(batch)
            if batch.records.num_rows or batch.rejections:
                yield batch


def open_reading(
    stream: Readable,
    record_type: RecordType,
    limits: Limits,
    block_bytes: int = BLOCK_BYTES,
    *,
    rules: int = PARSER_RULES,
) -> Reading:
    """Reads the header of a file.

    Args:
        stream: The file from its first byte on; read forward only, at most about `block_bytes` at a time.
        record_type: What the header must name the columns of.
        limits: Bounds of a record and a header.
        block_bytes: Bytes that are read at once where the file is clean. Memory follows it; the outcome does not.
        rules: Those that the file's plan was made by; see `PARSER_RULES`.

    Raises:
        FileRejected: The file fails as a whole.
    """
    source = Lookahead(stream, block_bytes)
    header = read_header(source, record_type, limits, restore=rules >= _RESTORES_REPORTS)
    return Reading(source, header, limits, block_bytes)
