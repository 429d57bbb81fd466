"""A splitter with a real broker, database and object store, and a record processor behind it."""

import io
import json
import time
from uuid import UUID

import fastavro
import pytest

from rowstream.kafka.topics import CHUNKS, DEAD_LETTERS, UPLOADS
from rowstream.messages import codec
from rowstream.messages.record_chunk import RecordChunk
from rowstream.messages.upload_split import UploadSplit
from tests.integration.splitter.support import System
from tests.servers import BUCKET
from tests.services import announce, everything_in
from tests.uploads import HEADER, accepted_event, csv_of, member, members


def test_an_upload_is_split_sent_and_settled(system: System) -> None:
    upload = system.hand_in(csv_of([*(member(f"s{number}") for number in range(1_500)), member("s3"), "bad"]))
    row = system.closed(upload)
    assert (row.chunks, row.records, row.records_split, row.holder) == (2, 1_502, 1_502, None)
    assert row.bytes_read == system.uploads.upload(upload).size_bytes
    assert (row.plan["etag"], row.plan["partitions"]) == (system.uploads.upload(upload).etag, 8)
    assert system.told(upload) == [("rowstream.upload_split", UploadSplit(
        upload_id=upload, organization_id=row.organization_id, attempt=1, chunks=2, records=1_502,
    ))]  # fmt: skip
    assert len(system.uploads.loaded(upload)) == 1_500
    assert system.uploads.codes(upload) == {1_502: "DUP_001", 1_503: "VAL_006"}
    first, second = (
        message for message in everything_in(system.broker, CHUNKS) if message.headers["upload_id"] == str(upload)
    )  # each once: nothing was lost
    assert (first.headers["chunk_number"], second.headers["chunk_number"]) == ("0", "1")
    assert [column["header"] for column in codec.decode(first.value, RecordChunk).columns] == list(HEADER)
    assert first.partition == upload.int % 8
    assert first.headers["correlation_id"] == f"c-{upload}"
    assert first.headers["ce_id"] == f"{upload}/1/0"


def test_a_large_file_goes_by_many_lanes(system: System) -> None:
    upload = system.hand_in(members(45_000, start=10**6))  # a little more than four megabytes
    row = system.closed(upload)
    assert row.plan["lanes"] == 2
    assert len(system.uploads.loaded(upload)) == 45_000
    assert [(lane, seq) for lane, seq in system.uploads.settled(upload).items() if seq < 22] == []
    assert {message.partition for message in everything_in(system.broker, CHUNKS)
            if message.headers["upload_id"] == str(upload)} == {upload.int % 8, (upload.int + 1) % 8}  # fmt: skip


def test_a_file_of_nothing_but_a_header_is_split_into_nothing(system: System) -> None:
    upload = system.hand_in(csv_of([]))
    row = system.closed(upload)
    assert (row.chunks, row.records, row.failure_code) == (0, 0, None)
    assert [kind for kind, _ in system.told(upload)] == ["rowstream.upload_split"]
    assert system.chunks_sent(upload) == []


BAD_FILES = {
    "empty": (b"", "FMT_001"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "FMT_002"),
    "no known column": (b"a,b\n1,2\n", "FMT_003"),
    "a required column missing": (b"member_id,case_number\n1,2\n", "FMT_003"),
    "a column twice": (csv_of([]).replace(b"note", b"member_id"), "FMT_004"),
    "too many columns": (",".join([*HEADER, *map(str, range(1_000))]).encode() + b"\n", "FMT_005"),
}


@pytest.mark.parametrize(("data", "code"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_read_fails_before_any_chunk(system: System, data: bytes, code: str) -> None:
    upload = system.hand_in(data)
    row = system.closed(upload)
    assert row.failure_code == code
    ((kind, told),) = system.told(upload)
    assert (kind, told.code, told.message) == ("rowstream.upload_failed", code, row.failure_message)
    assert row.plan is None
    assert system.uploads.lanes(upload) == []
    assert system.chunks_sent(upload) == []


def test_an_object_that_is_gone_or_another_fails_the_upload(system: System) -> None:
    gone = system.uploads.accept(stored=("raw/never-there", "e", 10))
    changed = system.uploads.accept_file(system.store, members(2))
    system.store.put(BUCKET, system.uploads.upload(changed).s3_key, io.BytesIO(members(3)))
    no_type = system.uploads.accept_file(system.store, members(2), record_type="nothing")
    announce(system.broker, gone, changed, no_type)
    for upload, code, words in (
        (gone, "S3_002", "hand the file in again"),
        (changed, "S3_003", "was replaced"),
        (no_type, "UNK_001", "unknown record type 'nothing'"),
    ):
        row = system.closed(upload)
        assert row.failure_code == code
        assert words in row.failure_message
        assert system.chunks_sent(upload) == []


def test_a_file_of_many_columns_arrives_whole(system: System) -> None:
    further = [f"more{number}" for number in range(600)]
    lines = [",".join([*HEADER, *further])]
    for number in range(1_200):
        cells = [*member(f"w{number}").values()]
        cells[HEADER.index("note")] = ""
        lines.append(",".join([*cells, *([""] * 600)]))
    upload = system.hand_in("\n".join(lines).encode())
    row = system.closed(upload)
    assert (row.failure_code, row.records) == (None, 1_200)
    assert len(system.uploads.loaded(upload)) == 1_200


def test_the_same_event_again_changes_nothing(system: System) -> None:
    upload = system.hand_in(members(3, start=5_000))
    row = system.closed(upload)
    announce(system.broker, upload, upload)
    after = system.hand_in(members(3, start=6_000))
    system.closed(after)
    assert system.uploads.split(upload) == row
    assert len(system.told(upload)) == 1


def test_events_that_cannot_be_read_are_put_aside_and_the_others_go_on(system: System) -> None:
    newer = json.loads(json.dumps(codec.contract("UploadAccepted").schema))
    newer["fields"].append({"name": "more", "type": "int"})
    body = io.BytesIO()
    fastavro.schemaless_writer(
        body,
        fastavro.parse_schema(newer),
        {"upload_id": UUID(int=1), "organization_id": UUID(int=2), "attempt": 1, "record_type": "x", "more": 1},
    )
    unknown = codec.MARKER + codec.fingerprint(newer) + body.getvalue()
    foreign = {codec.MARKER + bytes([number] * 8) + b"?" for number in range(30)}
    announce(system.broker, b"no message", unknown, *foreign)
    started = time.monotonic()
    upload = system.hand_in(members(3, start=7_000))
    system.closed(upload)
    assert time.monotonic() - started < 20  # and not a second for each of the unknown schemas
    aside = {
        message.value: message.headers
        for message in everything_in(system.broker, DEAD_LETTERS)
        if message.headers["__connect.errors.topic"] == UPLOADS
    }
    assert set(aside) == {b"no message", unknown, *foreign}
    assert aside[b"no message"]["__connect.errors.exception.class.name"] == "Poison"
    assert "which no service has registered" in aside[unknown]["__connect.errors.exception.message"]


def test_an_event_that_names_no_upload_of_its_organization_is_put_aside(system: System) -> None:
    mine = system.uploads.accept_file(system.store, members(3, start=7_500))
    foreign, nobodys = accepted_event(mine, UUID(int=9)), accepted_event(UUID(int=77))
    announce(system.broker, foreign, nobodys)
    upload = system.hand_in(members(3, start=7_600))
    system.closed(upload)
    aside = {
        message.value: message.headers["__connect.errors.exception.message"]
        for message in everything_in(system.broker, DEAD_LETTERS)
        if message.headers["__connect.errors.topic"] == UPLOADS
    }
    assert aside[foreign] == aside[nobodys] == "no such upload of ours"
    split = system.uploads.execute("SELECT batch_upload_id FROM upload_splits WHERE batch_upload_id = :id", id=mine)
    assert split == []


def test_an_event_whose_schema_is_registered_later_is_taken(system: System) -> None:
    newer = json.loads(json.dumps(codec.contract("UploadAccepted").schema))
    newer["fields"].append({"name": "filename", "type": "string", "default": ""})
    upload = system.uploads.accept_file(system.store, members(3, start=8_000))
    system.uploads.execute(
        "INSERT INTO message_schemas (fingerprint, name, schema) VALUES (:fingerprint, 'UploadAccepted', :schema)",
        fingerprint=codec.fingerprint(newer),
        schema=json.dumps(newer),
    )
    body = accepted_event(upload)[10:]
    announce(system.broker, codec.MARKER + codec.fingerprint(newer) + body + b"\x02f")
    system.closed(upload)
    assert len(system.uploads.loaded(upload)) == 3
