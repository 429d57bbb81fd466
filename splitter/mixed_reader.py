"""Reads a stretch in which some lines are doubtful: those carefully, all others at once by the fast reader.

Reading stands outside quotes at the stretch's start. A line that is clean by itself is then a record, and reading
stands outside quotes at the next line as well. At a doubtful line the careful reader reads one record, wherever it
ends, and says where the next one begins. So each line is read as the careful reader alone would read it, and a file in
which one line of a hundred is bad is read about as fast as a clean one.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from splitter.batch import MAX_BATCH_RECORDS, ROW_NUMBER, Batch
from splitter.blocks import CleanBlock, Positions
from splitter.careful_reader import CarefulReader
from splitter.clean_lines import Lines, find_lines
from splitter.fast_reader import read_block
from splitter.header import Header
from splitter.limits import Limits
from splitter.lookahead import Lookahead


class _Run(NamedTuple):
    """Clean lines that follow each other: places in the list of lines, and the row number of the first."""

    first: int
    after: int
    row: int


def read_mixed(source: Lookahead, first_row: int, size: int, header: Header, limits: Limits) -> tuple[Batch, int]:
    """Reads the records that begin in the next `size` bytes, or the first `MAX_BATCH_RECORDS` of them.

    The source must stand at a record's start, and stands at one afterwards.

    Returns:
        The records (perhaps none), and the row number of the one that comes next.
    """
    source.fill(size + limits.lookahead_bytes)
    base, stop = source.at, min(source.at + size, len(source.data))
    stretch = memoryview(source.data)[base:stop]
    lines = find_lines(stretch, max_record_bytes=limits.max_record_bytes, at_most=MAX_BATCH_RECORDS)
    careful = CarefulReader(source, first_row, header, limits)
    runs: list[_Run] = []
    line = 0
    while line < lines.starts.size:
        doubtful = _next_doubtful(lines, line)
        if doubtful > line:
            runs.append(_Run(line, doubtful, careful.row))
            careful.row += doubtful - line
            careful.at = base + int(lines.ends[doubtful - 1]) + 1
        if doubtful == lines.starts.size or not careful.step(stop):
            break
        line = _line_at(careful, lines, base)
    if not lines.starts.size:  # one line longer than the stretch, or the file's last, or lone CRs between records
        careful.read_until(stop)
    careful.leave()
    fast = _read_runs(stretch, lines, runs, header, limits)
    return _merged(fast, careful.batch()), careful.row


def _next_doubtful(lines: Lines, line: int) -> int:
    place = int(np.searchsorted(lines.doubtful, line))
    return int(lines.doubtful[place]) if place < lines.doubtful.size else lines.starts.size


def _line_at(careful: CarefulReader, lines: Lines, base: int) -> int:
    """The line that begins where the careful reader stands, having read on to one if it stands inside a line."""
    while True:
        line = int(np.searchsorted(lines.starts, careful.at - base))
        if line == lines.starts.size or lines.starts[line] == careful.at - base:
            return line
        if careful.full or not careful.step():
            return lines.starts.size


def _read_runs(stretch: memoryview, lines: Lines, runs: list[_Run], header: Header, limits: Limits) -> Batch | None:
    if not runs:
        return None
    parts = [stretch[int(lines.starts[run.first]) : int(lines.ends[run.after - 1]) + 1] for run in runs]
    data = b"".join(parts)
    lengths = np.concatenate(
        [lines.ends[run.first : run.after] - lines.starts[run.first : run.after] + 1 for run in runs]
    )
    ends: Positions = np.cumsum(lengths) - 1
    rows = np.concatenate([np.arange(run.row, run.row + run.after - run.first) for run in runs])
    return read_block(CleanBlock(data, len(data), ends), rows, header, limits)


def _merged(fast: Batch | None, careful: Batch) -> Batch:
    if fast is None:
        return careful
    rejections = sorted(fast.rejections + careful.rejections, key=lambda rejection: rejection.row_number)
    if not careful.records.num_rows:
        return Batch(fast.records, rejections)
    records = pa.concat_tables([fast.records, careful.records])
    order = np.argsort(records[ROW_NUMBER].to_numpy(), kind="stable")
    return Batch(records.take(pa.array(order)).combine_chunks(), rejections)
