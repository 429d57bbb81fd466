import io
import tracemalloc

import pytest
from hypothesis import example, given, settings

from splitter import reader
from splitter.careful_reader import CarefulReader
from splitter.limits import Limits
from splitter.reader import Column, open_reading
from tests.unit.splitter.support import (
    HEADER,
    ROOMY,
    THING,
    Chopped,
    block_sizes,
    chops,
    files,
    limits,
    outcome,
    read,
    read_carefully_only,
    reference,
    without_messages,
)

CLEAN = HEADER + b'1,2,"a, ""b"""\r\n3,4,\n"5\n",6,x\n' * 50


@settings(deadline=None, max_examples=300)
@given(data=files(), limits=limits, block_bytes=block_sizes, size=block_sizes, chops=chops)
@example(data=HEADER + b'1,"abc,x\n2,"def",y\n4,ghi",z\n', limits=ROOMY, block_bytes=4_096, size=8, chops=[3])
@example(data=HEADER + b"\xef\xbb\xbf1,2,3\n", limits=ROOMY, block_bytes=4_096, size=8, chops=[3])
@example(data=HEADER + b"1,2,3\n\xef\xbb\xbf1,2,3\n", limits=ROOMY, block_bytes=8, size=8, chops=[3])
def test_every_way_to_read_a_file_comes_to_what_the_reference_says(
    data: bytes, limits: Limits, block_bytes: int, size: int, chops: list[int]
) -> None:
    expected = reference(data, limits)
    fast = read(data, limits, block_bytes, chops)
    assert without_messages(fast) == (expected.records, expected.rejections)
    assert read_carefully_only(data, limits, size, chops) == fast


def test_no_edge_of_what_is_held_makes_a_difference() -> None:
    """All that is longer than one byte and can lie across an edge, at every edge."""
    limits = Limits(max_record_bytes=20, max_header_bytes=20, max_raw_chars=1)
    parts = [b"\r\n\r\n", b"\r", b"1,2," + b"x" * 16 + b"\r\n", b'1,2,"' + b"x" * 14 + b'"\r\n', b'1,"\r\n",\r\n']
    parts += [b"x" * length + b"\r\n1,2,3\n" for length in range(19, 32)]
    parts += [b'"' + b"x" * length + b"\r\n1,2,3\r\n" for length in range(19, 32)]
    data = HEADER + b"".join(parts)
    expected = reference(data, limits)
    for block_bytes in range(1, 60):
        assert without_messages(read(data, limits, block_bytes)) == (expected.records, expected.rejections)
        assert without_messages(read_carefully_only(data, limits, block_bytes, chops=[1])) == (
            expected.records,
            expected.rejections,
        )


def test_a_clean_file_never_needs_the_careful_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_carefully_only(CLEAN)
    monkeypatch.setattr(reader, "read_mixed", None)
    assert read(CLEAN, block_bytes=1_000) == expected
    assert len(expected[0]) == 150


def test_one_bad_line_keeps_no_other_from_the_fast_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    careful: list[int] = []
    step = CarefulReader.step

    def counted(self: CarefulReader, stop: int | None = None) -> bool:
        careful.append(self.row)
        return step(self, stop)

    monkeypatch.setattr(CarefulReader, "step", counted)
    lines = [b'1,2,"a note"\n'] * 10_000
    for row, line in {102: b"1,2,\xff\n", 5_002: b'1,"2,note\n', 5_003: b"\n", 9_002: b'1,2,"two\nlines"\n'}.items():
        lines[row - 2] = line
    batches = list(open_reading(io.BytesIO(HEADER + b"".join(lines)), THING, ROOMY, block_bytes=64_000))
    rows, rejections = outcome(batches)
    assert [rejection.row_number for rejection in rejections] == [102, 5_002]
    assert [number for number, _ in rows] == [*range(2, 102), *range(103, 5_002), *range(5_004, 10_002)]
    assert rows[-1_000][1] == ["1", "2", "two\nlines"]
    assert len(careful) <= 12


def test_blank_lines_are_passed_over_together(monkeypatch: pytest.MonkeyPatch) -> None:
    careful: list[int] = []
    step = CarefulReader.step

    def counted(self: CarefulReader, stop: int | None = None) -> bool:
        careful.append(self.row)
        return step(self, stop)

    monkeypatch.setattr(CarefulReader, "step", counted)
    for line_end in (b"\n", b"\r\n", b"\r"):
        careful.clear()
        assert read(HEADER + line_end * 10_000 + b"1,2,3\n") == ([(10_002, ["1", "2", "3"])], [])
        assert len(careful) <= 3


def test_what_a_reading_tells_beside_its_batches() -> None:
    data = b"\xef\xbb\xbf" + HEADER.replace(b"note", b" Remark ,extra") + b"1,2,3,4\n" * 100
    reading = open_reading(io.BytesIO(data), THING, ROOMY, block_bytes=80)
    assert reading.columns == (
        Column("id", "id"),
        Column("number", "number"),
        Column(" Remark ", "note"),
        Column("extra", None),
    )
    before = reading.bytes_read
    assert before == data.index(b"\n") + 1
    for batch in reading:
        assert reading.bytes_read - before == 8 * batch.records.num_rows
        before = reading.bytes_read
    assert reading.bytes_read == len(data)


def test_a_file_of_a_header_gives_no_batch() -> None:
    for end in (b"", b"\n", b"\r\n", b"\n\n\n"):
        assert list(open_reading(io.BytesIO(HEADER.strip() + end), THING, ROOMY)) == []


def test_an_error_report_sent_in_again_is_read_without_its_columns() -> None:
    data = b'id,number,Row_Number,note,error_code,error_message\n1,2,7,x,VAL_002,"bad, very"\n3,4\n5,6,8,\xff,a,b\n'
    reading = open_reading(io.BytesIO(data), THING, ROOMY)
    assert [column.header for column in reading.columns] == ["id", "number", "note"]
    rows, rejections = outcome(list(reading))
    assert rows == [(2, ["1", "2", "x"])]
    assert [(rejection.row_number, rejection.code) for rejection in rejections] == [(3, "VAL_006"), (4, "VAL_007")]
    clean = data.replace(b"\xff", b"y")
    assert read(clean)[0] == read_carefully_only(clean)[0] == [(2, ["1", "2", "x"]), (4, ["5", "6", "y"])]


REPORT = b"id,number,'=note,row_number,error_code,error_message\n"


@pytest.mark.parametrize("doubtful", [b"", b'q"uote,0,x,2,VAL_001,m\n'])
def test_an_error_report_sent_in_again_has_its_cells_as_they_were_first(doubtful: bytes) -> None:
    lines = b"'=1+1,-5,''@x,2,VAL_002,m\n'plain,2,\"'\n=1\",3,VAL_002,m\n"
    reading = open_reading(io.BytesIO(REPORT + doubtful + lines), THING, ROOMY)
    rows, _ = outcome(list(reading))
    assert [column.header for column in reading.columns] == ["id", "number", "=note"]
    assert [cells for _, cells in rows[-2:]] == [["=1+1", "-5", "'@x"], ["'plain", "2", "\n=1"]]


def test_apostrophes_in_any_other_file_are_its_own() -> None:
    rows, _ = read(b"id,number,'=note,row_number,error_code\n'=1,2,'@x,2,VAL_002\n")
    assert rows == [(2, ["'=1", "2", "'@x", "2", "VAL_002"])]


def test_a_plan_by_the_first_rules_goes_on_by_them() -> None:
    reading = open_reading(io.BytesIO(REPORT + b"'=1,2,'@x,2,VAL_002,m\n"), THING, ROOMY, rules=1)
    rows, _ = outcome(list(reading))
    assert [column.header for column in reading.columns] == ["id", "number", "'=note"]
    assert rows == [(2, ["'=1", "2", "'@x"])]


@pytest.mark.parametrize(
    ("cell", "first", "code"),
    [(b"x" * 10_000_000, 3, "VAL_009"), (b'"' + (b"x" * 999 + b"\n") * 10_000 + b'"', 10_003, "VAL_008")],
    ids=["bare", "quoted"],
)
def test_a_cell_of_ten_megabytes_is_rejected_in_little_memory(cell: bytes, first: int, code: str) -> None:
    stream = Chopped(HEADER + b"1,2," + cell + b"\n3,4,5\n", [65_536])
    rows: list[int] = []
    codes: dict[int, str] = {}
    tracemalloc.start()
    for batch in open_reading(stream, THING, ROOMY, block_bytes=65_536):
        rows += batch.records.column(0).to_pylist()
        codes |= {rejection.row_number: rejection.code for rejection in batch.rejections}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == [first]
    assert codes[2] == code
    assert [*codes, *rows] == list(range(2, first + 1))  # behind the bad one each line of the cell is a record
    assert peak < 4_000_000
    assert stream.most < 1_000_000


def test_a_batch_of_tiny_records_is_no_larger_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitter.blocks.MAX_BATCH_RECORDS", 10)
    monkeypatch.setattr("splitter.careful_reader.MAX_BATCH_RECORDS", 10)
    monkeypatch.setattr("splitter.mixed_reader.MAX_BATCH_RECORDS", 10)
    clean, doubtful = HEADER + b"1,2,3\n4\n" * 50, HEADER + b"1,2,3\n\n4\n" * 50
    for data in (clean, doubtful, doubtful.replace(b"\n", b"\r")):
        batches = list(open_reading(io.BytesIO(data), THING, ROOMY))
        sizes = [batch.records.num_rows + len(batch.rejections) for batch in batches]
        assert sum(sizes) == 100
        assert 5 < max(sizes) <= 10
        expected = reference(data)
        assert without_messages(outcome(batches)) == (expected.records, expected.rejections)
