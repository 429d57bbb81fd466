import io
from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.batch import Batch, ParseRejection, make_records
from splitter.chunks import Chunk, Cutter, complete_chunks
from splitter.digest import content_digest, record_sizes, rejection_size
from splitter.lanes import lanes_of
from splitter.limits import Limits
from splitter.reader import open_reading
from tests.unit.splitter.support import ROOMY, THING, Chopped, block_sizes, chops, files

Entry = tuple[int, int, str | ParseRejection]
"""Row number, lane, and a record's only cell or a rejection."""

SCHEMA = pa.schema([("row_number", pa.int64()), ("c0", pa.utf8())])


def entries_of(pattern: list[tuple[int, str, bool]], lanes: int) -> list[Entry]:
    """A record or a rejection for each (lane, text, is_record), with gaps in the row numbers."""
    entries: list[Entry] = []
    for index, (lane, text, is_record) in enumerate(pattern):
        row = 2 + index + index // 3
        if is_record:
            entries.append((row, lane % lanes, text))
        else:
            entries.append((row, row % lanes, ParseRejection(row, "VAL_006", "m", text)))
    return entries


def batch_of(entries: list[Entry]) -> tuple[Batch, np.ndarray]:
    records = [(row, lane, what) for row, lane, what in entries if isinstance(what, str)]
    cells = pa.array([text for _, _, text in records], pa.utf8())
    table = make_records(np.array([row for row, _, _ in records], np.int64), [cells])
    rejections = [what for _, _, what in entries if isinstance(what, ParseRejection)]
    return Batch(table, rejections), np.array([lane for _, lane, _ in records], np.int64)


def cut(entries: list[Entry], sizes: list[int], lanes: int, max_records: int, max_bytes: int) -> list[Chunk]:
    """All chunks, by number; the entries come in batches of the sizes, over and over."""
    cutter = Cutter(lanes, max_records, max_bytes)
    chunks: list[Chunk] = []
    start = turn = 0
    while start < len(entries):
        size = sizes[turn % len(sizes)]
        chunks += cutter.add(*batch_of(entries[start : start + size]))
        start, turn = start + size, turn + 1
    return sorted(chunks + cutter.finish(), key=lambda chunk: chunk.chunk_number)


def expected_rows(entries: list[Entry], lane: int, max_records: int, max_bytes: int) -> list[list[int]]:
    """The row numbers of a lane's chunks, entry by entry."""
    chunks: list[list[int]] = []
    filled = 0
    for row, entry_lane, what in entries:
        if entry_lane != lane:
            continue
        size = 8 + len(what.encode()) if isinstance(what, str) else rejection_size(what)
        if not chunks or len(chunks[-1]) == max_records or filled + size > max_bytes:
            chunks.append([])
            filled = 0
        chunks[-1].append(row)
        filled += size
    return chunks


patterns = st.lists(st.tuples(st.integers(0, 3), st.text("aé", max_size=12), st.booleans()), max_size=40)
batchings = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@settings(deadline=None)
@given(patterns, batchings, st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 30, 60, 10_000]))
def test_chunks_follow_from_the_records_whatever_the_batches(
    pattern: list[tuple[int, str, bool]], sizes: list[int], lanes: int, max_records: int, max_bytes: int
) -> None:
    entries = entries_of(pattern, lanes)
    chunks = cut(entries, sizes, lanes, max_records, max_bytes)
    assert [astuple(c) for c in chunks] == [astuple(c) for c in cut(entries, [1_000], lanes, max_records, max_bytes)]
    for lane in range(lanes):
        of_lane = [chunk for chunk in chunks if chunk.lane == lane]
        rows = [
            sorted(chunk.records.column(0).to_pylist() + [rejection.row_number for rejection in chunk.rejections])
            for chunk in of_lane
        ]
        assert rows == expected_rows(entries, lane, max_records, max_bytes)
        assert [chunk.lane_seq for chunk in of_lane] == list(range(len(of_lane)))
        for chunk, numbers in zip(of_lane, rows, strict=True):
            assert chunk.chunk_number == chunk.lane_seq * lanes + lane
            assert (chunk.first_row, chunk.last_row, chunk.record_count) == (numbers[0], numbers[-1], len(numbers))
            assert chunk.digest == content_digest(chunk.records, chunk.rejections)
    cells = {row: what for row, _, what in entries}
    for chunk in chunks:
        for record in chunk.records.to_pylist():
            assert record["c0"] == cells[record["row_number"]]
        assert all(cells[rejection.row_number] is rejection for rejection in chunk.rejections)


@settings(deadline=None)
@given(files(), st.lists(block_sizes, min_size=2, max_size=2), chops, st.integers(1, 5))
def test_a_second_split_of_a_file_makes_the_same_chunks(
    data: bytes, blocks: list[int], sizes: list[int], lanes: int
) -> None:
    def split(block_bytes: int) -> list[tuple[object, ...]]:
        reading = open_reading(
            Chopped(data, sizes), THING, Limits(max_record_bytes=40, max_header_bytes=40), block_bytes
        )
        cutter = Cutter(lanes, 3, 60)
        chunks = [
            chunk
            for batch in reading
            for chunk in cutter.add(batch, lanes_of(batch.records, reading.columns, THING, lanes))
        ]
        return sorted((chunk.chunk_number, chunk.digest) for chunk in chunks + cutter.finish())

    assert split(blocks[0]) == split(blocks[1])


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        ([], []),
        ([10], []),
        ([10, 10, 10], [3]),
        ([10, 10, 10, 10], [3]),
        ([50, 50], []),  # a third may not fit, but that is known when it comes
        ([50, 51], [1]),
        ([50, 50, 8], [2]),
        ([500], []),
        ([500, 8], [1]),
        ([8, 500, 8], [1, 2]),
        ([10] * 7, [3, 6]),
    ],
)
def test_complete_chunks(sizes: list[int], ends: list[int]) -> None:
    assert complete_chunks(np.array(sizes, np.int64), max_records=3, max_bytes=100) == ends


def test_a_chunk_is_in_memory_of_its_own() -> None:
    batch, lanes = batch_of([(row, 0, "x" * 100) for row in range(1_000)])
    cutter = Cutter(1, max_records=10)
    whole = batch.records.column(1).chunk(0).buffers()[2]
    for chunk in cutter.add(batch, lanes):
        (cells,) = chunk.records.column(1).chunks
        assert cells.offset == 0
        _, offsets, data = cells.buffers()
        assert (cells.type, data.size, offsets.size) == (pa.utf8(), 1_000, 44)
        assert not whole.address <= data.address < whole.address + whole.size


def test_a_chunk_of_nothing_but_rejections_has_the_columns_of_the_others() -> None:
    batch, lanes = batch_of(entries_of([(0, "x", False)], 1))
    cutter = Cutter(1)
    assert cutter.add(batch, lanes) == []
    (chunk,) = cutter.finish()
    assert chunk.records.schema == SCHEMA
    assert (chunk.records.num_rows, chunk.record_count) == (0, 1)


def test_a_rest_does_not_keep_its_whole_batch_in_memory() -> None:
    cutter = Cutter(1, max_records=1_000)
    before = pa.total_allocated_bytes()
    for start in range(0, 101_000, 10_100):
        batch, lanes = batch_of([(row, 0, "x" * 100) for row in range(start, start + 10_100)])
        cutter.add(batch, lanes)
        del batch
        assert pa.total_allocated_bytes() - before < 200_000


def test_the_outcome_of_a_file_of_one_chunk() -> None:
    reading = open_reading(io.BytesIO(b"id,number\n1,2\n3\n4,5\n"), THING, ROOMY)
    cutter = Cutter(1)
    (batch,) = reading
    assert cutter.add(batch, lanes_of(batch.records, reading.columns, THING, 1)) == []
    (chunk,) = cutter.finish()
    assert (chunk.first_row, chunk.last_row, chunk.record_count) == (2, 4, 3)
    assert chunk.records.to_pydict() == {"row_number": [2, 4], "c0": ["1", "4"], "c1": ["2", "5"]}
    assert record_sizes(chunk.records).tolist() == [10, 10]
