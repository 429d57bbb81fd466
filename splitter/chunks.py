"""Cuts lanes into chunks. What a chunk holds follows from the sequence of a lane's records and from nothing else."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from splitter.batch import ROW_NUMBER, Batch, ParseRejection
from splitter.digest import Sizes, content_digest, record_sizes, rejection_size
from splitter.lanes import Lanes, lane_of_row

MAX_RECORDS = 1_000
MAX_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one lane.

    Attributes:
        lane: From 0.
        lane_seq: Which of its lane's chunks it is, from 0.
        chunk_number: `lane_seq` * lanes + `lane`: no other chunk of the file has it.
        first_row: The lowest row number in it.
        last_row: The highest.
        record_count: Records and rejections.
        records: As in a batch, in memory of its own.
        rejections: In row order.
        digest: 16 bytes, equal for equal row numbers, cells and rejections.
    """

    lane: int
    lane_seq: int
    chunk_number: int
    first_row: int
    last_row: int
    record_count: int
    records: pa.Table
    rejections: list[ParseRejection]
    digest: bytes


class Cutter:
    """Takes batches in the file's order and gives chunks as soon as they are complete.

    A chunk is complete with `max_records` records, rejections included, or before the one that would take it past
    `max_bytes`: 8 bytes and the UTF-8 bytes of all its cells for a record, of code, message and raw text for a
    rejection. A record that is larger by itself is a chunk by itself. Between calls less than a chunk of each lane is
    held.
    """

    def __init__(self, lanes: int, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._lanes = [_Lane(lane, lanes, max_records, max_bytes) for lane in range(lanes)]

    def add(self, batch: Batch, lane_numbers: Lanes) -> list[Chunk]:
        """Takes a batch, with the lane of each of its records; gives the chunks that it completes, lane by lane."""
        rejections: list[list[ParseRejection]] = [[] for _ in self._lanes]
        for rejection in batch.rejections:
            rejections[lane_of_row(rejection.row_number, len(self._lanes))].append(rejection)
        records = _by_lane(batch.records, lane_numbers, len(self._lanes))
        return [
            chunk
            for lane, (lane_records, sizes), lane_rejections in zip(self._lanes, records, rejections, strict=True)
            for chunk in lane.add(lane_records, sizes, lane_rejections)
        ]

    def finish(self) -> list[Chunk]:
        """The last chunk of each lane that has a record left; nothing may be added afterwards."""
        return [chunk for lane in self._lanes for chunk in lane.finish()]


class _Lane:
    """What one lane has that is in no chunk yet."""

    def __init__(self, lane: int, lanes: int, max_records: int, max_bytes: int) -> None:
        self._lane = lane
        self._lanes = lanes
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._lane_seq = 0
        self._nothing = pa.table({})  # no records, in the columns of the file
        self._pieces: deque[pa.Table] = deque()
        self._rejections: deque[ParseRejection] = deque()
        self._rows = np.empty(0, np.int64)  # of records and rejections, in row order; likewise:
        self._sizes = np.empty(0, np.int64)
        self._are_records = np.empty(0, np.bool_)

    def add(self, records: pa.Table, record_sizes: Sizes, rejections: Sequence[ParseRejection]) -> list[Chunk]:
        """Takes what comes next in this lane; gives the chunks that it completes."""
        if not records.num_rows and not rejections:
            return []
        if not self._nothing.num_columns:
            self._nothing = records.schema.empty_table()
        self._pieces.append(records)
        self._rejections += rejections
        rejected_rows = np.array([rejection.row_number for rejection in rejections], np.int64)
        rejected_sizes = np.array([rejection_size(rejection) for rejection in rejections], np.int64)
        rows = np.concatenate((records.column(ROW_NUMBER).to_numpy(), rejected_rows))
        sizes = np.concatenate((record_sizes, rejected_sizes))
        order = np.argsort(rows, kind="stable")
        self._rows = np.concatenate((self._rows, rows[order]))
        self._sizes = np.concatenate((self._sizes, sizes[order]))
        self._are_records = np.concatenate((self._are_records, order < records.num_rows))
        chunks = self._cut(complete_chunks(self._sizes, self._max_records, self._max_bytes))
        if chunks and self._pieces:
            self._pieces = deque([_own(self._nothing, self._pieces)])  # lets go of the batch that they are a part of
        return chunks

    def finish(self) -> list[Chunk]:
        """The rest, which is one chunk or none."""
        return self._cut([self._sizes.size]) if self._sizes.size else []

    def _cut(self, ends: Sequence[int]) -> list[Chunk]:
        starts = [0, *ends]
        chunks = [self._chunk(start, end) for start, end in zip(starts, ends, strict=False)]
        self._rows, self._sizes = self._rows[starts[-1] :], self._sizes[starts[-1] :]
        self._are_records = self._are_records[starts[-1] :]
        return chunks

    def _chunk(self, start: int, end: int) -> Chunk:
        record_count = int(np.count_nonzero(self._are_records[start:end]))
        records = _own(self._nothing, self._take(record_count))
        rejections = [self._rejections.popleft() for _ in range(end - start - record_count)]
        lane_seq, self._lane_seq = self._lane_seq, self._lane_seq + 1
        return Chunk(
            lane=self._lane,
            lane_seq=lane_seq,
            chunk_number=lane_seq * self._lanes + self._lane,
            first_row=int(self._rows[start]),
            last_row=int(self._rows[end - 1]),
            record_count=end - start,
            records=records,
            rejections=rejections,
            digest=content_digest(records, rejections),
        )

    def _take(self, count: int) -> Iterator[pa.Table]:
        """The first `count` records, in pieces, which are then no longer held here."""
        while count:
            piece = self._pieces.popleft()
            if piece.num_rows > count:
                self._pieces.appendleft(piece.slice(count))
                piece = piece.slice(0, count)
            count -= piece.num_rows
            yield piece


def complete_chunks(sizes: Sizes, max_records: int, max_bytes: int) -> list[int]:
    """Where the chunks end that are complete whatever follows; what is behind the last of them is not yet one.

    Args:
        sizes: What each record or rejection of a lane counts, from a chunk's start on.
        max_records: Of a chunk.
        max_bytes: Of a chunk, if it has more than one record.
    """
    totals = np.concatenate(([0], np.cumsum(sizes)))
    ends: list[int] = []
    start = 0
    while start < sizes.size:
        fitting = int(np.searchsorted(totals, totals[start] + max_bytes, side="right")) - 1
        end = min(max(fitting, start + 1), start + max_records)
        if end >= sizes.size and end < start + max_records:
            break  # the next record may fit, too
        ends.append(end)
        start = end
    return ends


def _by_lane(records: pa.Table, lane_numbers: Lanes, lanes: int) -> list[tuple[pa.Table, Sizes]]:
    """The records of each lane, in row order, and their sizes."""
    sizes = record_sizes(records)
    if lanes == 1:
        return [(records, sizes)]
    order = np.argsort(lane_numbers.astype(np.min_scalar_type(lanes)), kind="stable")
    ends = np.cumsum(np.bincount(lane_numbers, minlength=lanes))
    return [(records.take(pa.array(places)), sizes[places]) for places in np.split(order, ends[:-1])]


def _own(nothing: pa.Table, pieces: Iterable[pa.Table]) -> pa.Table:
    """The records of all pieces in memory that nothing else uses, one chunk a column."""
    return pa.concat_tables([nothing, *pieces]).combine_chunks()  # a single piece would not be copied
