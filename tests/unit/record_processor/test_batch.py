"""From messages to one table, and what is made of messages that cannot be read."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from record_processor.batch import ChunkInHand, read, texts_of
from rowstream.errors import Poison
from rowstream.messages import codec
from rowstream.messages.record_chunk import RecordChunk
from tests.uploads import HEADER, chunks_of, csv_of, member, members, received

UPLOAD = UUID(int=7)
(CHUNK,) = chunks_of(csv_of([member(1), "bad", member(2)]), UPLOAD)


class NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        """Nothing is registered: every schema is ours."""


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def hands(*chunks: RecordChunk) -> list[ChunkInHand]:
    return [read(received(chunk), NoSchemas()) for chunk in chunks]


def test_a_chunk_is_read_as_it_was_sent() -> None:
    message = received(CHUNK)
    hand = read(message, NoSchemas())
    assert (hand.chunk, hand.unreadable, hand.message) == (CHUNK, None, message)
    assert hand.place == (UPLOAD, 0)
    assert hand.envelope.correlation_id == "c"
    assert hand.records is not None
    assert hand.records.column("row_number").to_pylist() == [2, 4]
    assert hand.records.column("c0").to_pylist() == ["M1", "M2"]


TABLE = pa.ipc.open_stream(CHUNK.records).read_all()
BROKEN = {
    "no Avro": b"nonsense",
    "cut": codec.encode(CHUNK)[:-20],
    "no Arrow": codec.encode(replace(CHUNK, records=b"nonsense")),
    "Arrow that is cut": codec.encode(replace(CHUNK, records=CHUNK.records[:-300])),
    "nothing": b"",
    "a column too few": codec.encode(replace(CHUNK, columns=CHUNK.columns[:-1])),
    "numbers for text": codec.encode(
        replace(CHUNK, records=arrow(TABLE.set_column(1, "c0", pa.array([1, 2], pa.int64()))))
    ),
    "text for numbers": codec.encode(
        replace(CHUNK, records=arrow(TABLE.set_column(0, "row_number", pa.array(["2", "4"]))))
    ),
    "a record too few": codec.encode(replace(CHUNK, records=arrow(TABLE.slice(1)))),
    "another count": codec.encode(replace(CHUNK, record_count=5)),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_one_that_cannot_be_read_is_accounted_for_by_its_headers(body: bytes) -> None:
    hand = read(received(CHUNK, body=body), NoSchemas())
    assert hand.unreadable
    assert hand.records is None
    nothing: dict[str, Any] = {
        "record_type": "",
        "record_type_version": 0,
        "columns": [],
        "records": b"",
        "rejections": [],
    }
    assert hand.chunk == replace(CHUNK, digest=b"", **nothing)
    for cell in ("M1", "said", "bad"):
        assert cell not in hand.unreadable


@given(st.binary(max_size=200), st.integers(10, 2_000))  # behind the fingerprint
def test_no_bytes_whatever_raise_anything_but_poison(noise: bytes, place: int) -> None:
    whole = codec.encode(CHUNK)
    mangled = whole[:place] + noise + whole[place + len(noise) :]
    hand = read(received(CHUNK, body=mangled), NoSchemas())
    assert hand.chunk.upload_id == UPLOAD or not hand.unreadable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upload_id", "no-id"),
        ("lane", "x"),
        ("lane", "-1"),
        ("lane_seq", str(2**31)),
        ("chunk_number", str(2**63)),
        ("record_count", "1e3"),
        ("first_row", ""),
    ],
)
def test_one_whose_headers_name_no_chunk_either_is_poison(name: str, value: str) -> None:
    with pytest.raises(Poison, match="neither body nor headers"):
        read(received(CHUNK, body=b"?", **{name: value}), NoSchemas())


@pytest.mark.parametrize("name", ["ce_id", "ce_organization", "lane", "upload_id"])
def test_one_without_a_header_is_poison(name: str) -> None:
    message = received(CHUNK, body=b"?")
    headers = {key: value for key, value in message.headers.items() if key != name}
    with pytest.raises(Poison, match=name):
        read(replace(message, headers=headers), NoSchemas())


def test_chunks_become_one_table_in_their_order() -> None:
    first, second, third = chunks_of(members(5), UPLOAD, chunk_records=2)
    texts = texts_of(hands(second, first, third))
    assert texts["record"].to_list() == [0, 1, 2, 3, 4]
    assert texts["record"].dtype == pl.Int64
    assert texts["chunk"].to_list() == [0, 0, 1, 1, 2]
    assert texts["row_number"].to_list() == [4, 5, 2, 3, 6]
    assert texts["member_id"].to_list() == ["M2", "M3", "M0", "M1", "M4"]
    assert set(texts.columns) == {"record", "chunk", "row_number", *HEADER} - {"note"}


def test_chunks_of_files_with_other_columns_share_a_table() -> None:
    (one,) = chunks_of(b"certification_type,member_id,case_number,member_email,certification_date\na,b,c,d,e\n", UPLOAD)
    (other,) = chunks_of(members(1), UPLOAD)
    texts = texts_of(hands(one, other, one))
    assert texts["member_id"].to_list() == ["b", "M0", "b"]
    assert texts["work_hours"].to_list() == [None, "20", None]
    assert texts["chunk"].to_list() == [0, 1, 2]


def test_chunks_without_a_readable_record_take_no_place() -> None:
    bad, good = chunks_of(csv_of(["bad", "worse", member(1), member(2)]), UPLOAD, chunk_records=2)
    assert bad.record_count == len(bad.rejections)
    texts = texts_of(hands(bad, good, bad))
    assert texts["chunk"].to_list() == [1, 1]
    assert texts_of(hands(bad)).height == 0
    assert "member_id" in texts_of(hands(bad)).columns


def test_an_unreadable_chunk_has_no_records() -> None:
    with pytest.raises(ValueError, match="unreadable"):
        texts_of([read(received(CHUNK, body=b"?"), NoSchemas())])
