import numpy as np
import pyarrow as pa
import pytest

from rowstream.errors import Fatal
from splitter.batch import Batch
from splitter.blocks import CleanBlock, prove
from splitter.fast_reader import read_block
from splitter.header import Column, Header
from tests.unit.splitter.support import ROOMY, outcome

AB = Header(columns=(Column("a", "a"), Column("b", "b")), kept=(0, 1), width=2, row=1)
B = Header(columns=(Column("b", "b"),), kept=(1,), width=2, row=1)
ONE = Header(columns=(Column("a", "a"),), kept=(0,), width=1, row=1)


def clean(data: bytes) -> CleanBlock:
    block = prove(data, last=True, max_record_bytes=1_000)
    assert block is not None
    return block


def read(block: CleanBlock, first_row: int, header: Header) -> Batch:
    return read_block(block, np.arange(first_row, first_row + block.ends.size), header, ROOMY)


def test_texts_stay_as_they_are() -> None:
    data = b'NA,null\nNULL,""\n007,1e5\ntrue,2024-01-01\n\xc3\xa9," x "\n,#N/A\n'
    rows, rejections = outcome([read(clean(data), 2, AB)])
    assert [cells for _, cells in rows] == [
        ["NA", "null"],
        ["NULL", ""],
        ["007", "1e5"],
        ["true", "2024-01-01"],
        ["é", " x "],
        ["", "#N/A"],
    ]
    assert not rejections


def test_records_with_another_number_of_cells_are_rejected_with_their_text_and_row() -> None:
    data = b'x\n1,"a\nb"\n"y\nz",2,3\r\n3,4\nlast'
    rows, rejections = outcome([read(clean(data), 10, AB)])
    assert rows == [(11, ["1", "a\nb"]), (13, ["3", "4"])]
    assert [(r.row_number, r.code, r.raw) for r in rejections] == [
        (10, "VAL_006", "x"),
        (12, "VAL_006", '"y\nz",2,3'),
        (14, "VAL_006", "last"),
    ]


def test_columns_that_are_not_kept_are_counted_and_left_out() -> None:
    rows, rejections = outcome([read(clean(b"1,2\n3\n4,5\n"), 2, B)])
    assert rows == [(2, ["2"]), (4, ["5"])]
    assert len(rejections) == 1


def test_a_file_of_one_column_may_have_empty_cells_in_quotes() -> None:
    rows, rejections = outcome([read(clean(b'""\na\n""'), 2, ONE)])
    assert (rows, rejections) == ([(2, [""]), (3, ["a"]), (4, [""])], [])


def test_nothing_but_rejections_is_a_batch_without_records() -> None:
    batch = read(clean(b"1\n2\n"), 2, AB)
    assert batch.records.schema == pa.schema([("row_number", pa.int64()), ("c0", pa.utf8()), ("c1", pa.utf8())])
    assert (batch.records.num_rows, len(batch.rejections)) == (0, 2)


def test_another_number_of_records_than_was_proved_stops_everything() -> None:
    with pytest.raises(Fatal, match="found 2 records in 8 bytes where the proof counted 1, from row 7"):
        read(CleanBlock(b"1,2\n3,4\n", 8, np.array([3])), 7, AB)
