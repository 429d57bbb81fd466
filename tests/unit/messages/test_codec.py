"""Every message survives its encoding, and bytes that are no message are told apart from those not known yet."""

import dataclasses
import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fastavro
import hypothesis.strategies as st
import pytest
from hypothesis import given

from rowstream.errors import Poison, Retryable
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.record_chunk import RecordChunk
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_request import UploadRequest
from rowstream.messages.upload_split import UploadSplit
from rowstream.messages.upload_status import UploadStatus

INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
MAYBE = st.none() | TEXT

chunk_results = st.builds(
    ChunkResult,
    upload_id=st.uuids(), organization_id=st.uuids(), attempt=INT, chunk_number=LONG, lane=INT, lane_seq=INT,
    first_row=LONG, last_row=LONG, records=LONG, outcome=st.sampled_from(["loaded", "unprocessed"]),
    succeeded_records=LONG, failed_records=LONG, held_records=LONG, unprocessed_records=LONG,
    errors_by_code=st.dictionaries(TEXT, LONG, max_size=3), started_at=MOMENT, duration_ms=LONG, worker=TEXT,
)  # fmt: skip
record_chunks = st.builds(
    RecordChunk,
    upload_id=st.uuids(), organization_id=st.uuids(), attempt=INT, epoch=INT, lane=INT, lane_seq=INT, chunk_number=LONG,
    record_type=TEXT, record_type_version=INT, first_row=LONG, last_row=LONG, record_count=INT,
    columns=st.lists(st.fixed_dictionaries({"header": TEXT, "name": MAYBE}), max_size=3),
    records=st.binary(max_size=50),
    rejections=st.lists(
        st.fixed_dictionaries({"row_number": LONG, "code": TEXT, "message": TEXT, "raw": TEXT}), max_size=3
    ),
    digest=st.binary(max_size=16),
)  # fmt: skip
upload_statuses = st.builds(
    UploadStatus,
    upload_id=st.uuids(), organization_id=st.uuids(), version=INT, status=TEXT, attempt=INT, record_type=TEXT,
    total_records=st.none() | LONG, processed_records=LONG, succeeded_records=LONG, failed_records=LONG,
    held_records=LONG, unprocessed_records=LONG, failure_code=MAYBE, failure_message=MAYBE,
)  # fmt: skip
upload = {"upload_id": st.uuids(), "organization_id": st.uuids(), "attempt": INT}
messages = st.one_of(
    chunk_results,
    record_chunks,
    upload_statuses,
    st.builds(UploadAccepted, record_type=TEXT, **upload),
    st.builds(UploadFailed, code=TEXT, message=TEXT, **upload),
    st.builds(UploadSplit, chunks=LONG, records=LONG, **upload),
    st.builds(UploadRequest, record_type=TEXT, bucket=TEXT, key=TEXT, filename=MAYBE, etag=MAYBE, version_id=MAYBE),
)

ACCEPTED = UploadAccepted(upload_id=UUID(int=1), organization_id=UUID(int=2), attempt=3, record_type="thing")


class Schemas:
    """A store with what a service has written."""

    def __init__(self, *schemas: codec.Schema) -> None:
        self._schemas = {codec.fingerprint(schema): schema for schema in schemas}

    def find(self, fingerprint: bytes) -> codec.Schema | None:
        return self._schemas.get(fingerprint)


def changed(name: str, change: Any) -> codec.Schema:
    schema: codec.Schema = json.loads(json.dumps(codec.contract(name).schema))
    change(schema["fields"])
    return schema


def written_with(schema: codec.Schema, message: codec.Message, **further: object) -> bytes:
    """A message as another version of its service would write it."""
    body = io.BytesIO(codec.MARKER + codec.fingerprint(schema))
    body.seek(0, io.SEEK_END)
    names = [field["name"] for field in schema["fields"]]
    values = {**dataclasses.asdict(message), **further}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), {name: values[name] for name in names})
    return body.getvalue()


@given(messages)
def test_a_message_survives_its_encoding(message: Any) -> None:
    assert codec.decode(codec.encode(message), type(message)) == message


def test_the_framing_is_avros_single_object_encoding() -> None:
    data = codec.encode(ACCEPTED)
    assert data[:2] == b"\xc3\x01"
    assert data[2:10] == codec.contract("UploadAccepted").fingerprint
    # CRC-64-AVRO of the canonical form, computed here bit by bit from the specification's definition.
    canonical = (
        '{"name":"rowstream.UploadAccepted","type":"record","fields":['
        '{"name":"upload_id","type":"string"},{"name":"organization_id","type":"string"},'
        '{"name":"attempt","type":"int"},{"name":"record_type","type":"string"}]}'
    )
    empty = crc = 0xC15D213AA4D7A795
    for byte in canonical.encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (empty if crc & 1 else 0)
    assert data[2:10] == crc.to_bytes(8, "little")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc3",
        b"\xc3\x01",
        b"\xc3\x01short",
        b"{}",
        b'{"upload_id": "x"}',
        bytes(10),
        codec.encode(ACCEPTED)[:-1],
        codec.encode(ACCEPTED)[:12],
        codec.encode(ACCEPTED)[:10],
        codec.encode(ACCEPTED)[:10] + b"\xff" * 40,
        codec.encode(ACCEPTED)[:10] + b"\x08nope" + b"\x00" * 8,
    ],
)
def test_bytes_that_are_no_message_are_poison(data: bytes) -> None:
    with pytest.raises(Poison, match="UploadAccepted"):
        codec.decode(data, UploadAccepted, Schemas())


@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise_anything_else(body: bytes) -> None:
    for data in (body, codec.encode(ACCEPTED)[:10] + body):
        with suppress(Poison, codec.UnknownSchema):
            codec.decode(data, UploadAccepted)


def test_an_unknown_schema_may_be_known_later() -> None:
    newer = changed("UploadAccepted", lambda fields: fields.append({"name": "x", "type": "int", "default": 0}))
    data = written_with(newer, ACCEPTED, x=9)
    for store in (None, Schemas()):
        with pytest.raises(codec.UnknownSchema) as caught:
            codec.decode(data, UploadAccepted, store)
        assert isinstance(caught.value, Retryable)
        assert caught.value.fingerprint == codec.fingerprint(newer) == data[2:10]
    assert codec.decode(data, UploadAccepted, Schemas(newer)) == ACCEPTED


def test_what_an_older_writer_did_not_know_has_its_default() -> None:
    older = changed("ChunkResult", lambda fields: fields.pop())
    result = ChunkResult(
        upload_id=UUID(int=1), organization_id=UUID(int=2), attempt=1, chunk_number=1, lane=1, lane_seq=0, first_row=2,
        last_row=3, records=2, outcome="loaded", succeeded_records=2, failed_records=0, held_records=0,
        unprocessed_records=0, errors_by_code={}, started_at=datetime(2026, 1, 1, tzinfo=UTC), duration_ms=5,
        worker="w",
    )  # fmt: skip
    read = codec.decode(written_with(older, result), ChunkResult, Schemas(older))
    assert read == dataclasses.replace(result, worker="")


def test_a_message_of_another_kind_is_poison() -> None:
    split = UploadSplit(upload_id=UUID(int=1), organization_id=UUID(int=2), attempt=1, chunks=1, records=1)
    with pytest.raises(Poison, match="expected a UploadAccepted"):
        codec.decode(codec.encode(split), UploadAccepted, Schemas(codec.contract("UploadSplit").schema))


def test_a_writers_schema_that_ours_cannot_follow_is_poison() -> None:
    other = changed("UploadAccepted", lambda fields: fields[2].update(type="string"))
    with pytest.raises(Poison, match="not a readable"):
        codec.decode(written_with(other, ACCEPTED, attempt="three"), UploadAccepted, Schemas(other))


def test_a_fault_tells_nothing_of_what_the_message_holds() -> None:
    data = codec.encode(dataclasses.replace(ACCEPTED, record_type="secret-cell"))[:-1]
    with pytest.raises(Poison) as caught:
        codec.decode(data, UploadAccepted)
    assert "secret" not in str(caught.value)
