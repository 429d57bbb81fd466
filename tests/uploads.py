"""Uploads for splitters and processors to work on, and what became of them."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Engine, text

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.tables import (
    batch_upload_errors,
    batch_uploads,
    processed_chunks,
    upload_control,
    upload_lanes,
    upload_splits,
)
from rowstream.ids import new_id
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNKS
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope
from rowstream.messages.record_chunk import RecordChunk
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.records import RecordType, registry
from rowstream.storage.s3 import S3Store
from splitter.chunks import Cutter
from splitter.lanes import lanes_of
from splitter.limits import Limits
from splitter.plan import make_plan
from splitter.reader import open_reading
from splitter.sender import accounting_headers
from splitter.settings import SplitterSlice
from splitter.split import _message
from splitter.waiting import Job
from tests.engines import engine_of
from tests.servers import BUCKET

MEMBERS = registry.find("member_certification")
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
_GOOD = {
    "member_email": "a@example.org",
    "certification_date": "2026-01-31",
    "certification_type": "recertification",
    "work_hours": "20",
}
HEADER = ("member_id", "case_number", *_GOOD, "note")


def member(number: int | str, **cells: str) -> dict[str, str]:
    """A good record of a member certification; its key follows from the number."""
    return {"member_id": f"M{number}", "case_number": f"C{number}", **_GOOD, "note": f'said "{number}", left'} | cells


def csv_of(records: Iterable[dict[str, str] | str]) -> bytes:
    """A file of such records; a text is a line as it is."""
    lines = [",".join(HEADER)]
    for record in records:
        if isinstance(record, str):
            lines.append(record)
        else:
            lines.append(",".join('"' + record[name].replace('"', '""') + '"' for name in HEADER))
    return "\n".join(lines).encode() + b"\n"


def members(count: int, start: int = 0) -> bytes:
    """A file of that many good records."""
    return csv_of(member(number) for number in range(start, start + count))


@dataclass(frozen=True)
class Uploads:
    """The uploads in one migrated database; `owner` may do everything."""

    owner: Engine

    def accept(
        self,
        *,
        stored: tuple[str, str, int] = ("k", "e", 1),
        record_type: str = MEMBERS.name,
        organization: UUID = DEFAULT_ORGANIZATION,
        **facts: Any,
    ) -> UUID:
        """The gateway accepted an upload; `stored` is its object's key, entity tag and size in bytes."""
        upload_id = new_id()
        key, etag, size = stored
        values = {
            "id": upload_id,
            "organization_id": organization,
            "status": "pending",
            "source_type": "api",
            "source": "tests",
            "source_event_id": str(upload_id),
            "correlation_id": f"c-{upload_id}",
            "traceparent": TRACE,
            "record_type": record_type,
            "filename": "a.csv",
            "s3_bucket": BUCKET,
            "s3_key": key,
            "etag": etag,
            "size_bytes": size,
            "created_by": "tests",
            "accepted_at": text("now()"),
            **facts,
        }
        with self.owner.begin() as connection:
            connection.execute(sqlalchemy.insert(batch_uploads).values(values))
        return upload_id

    def accept_file(self, store: S3Store, data: bytes, **facts: Any) -> UUID:
        """The same, of a file that is stored."""
        key = f"raw/{new_id()}"
        found = store.put(BUCKET, key, io.BytesIO(data))
        return self.accept(stored=(key, found.etag, found.size), **facts)

    def note(self, upload_id: UUID, *, lanes: int, attempt: int = 1) -> None:
        """A splitter noted the upload and pinned its plan."""
        owned = {"organization_id": self.upload(upload_id).organization_id, "batch_upload_id": upload_id}
        with self.owner.begin() as connection:
            split = {**owned, "attempt": attempt, "record_type": MEMBERS.name, "epoch": 1}
            connection.execute(sqlalchemy.insert(upload_splits).values(split))
            for lane in range(lanes):
                connection.execute(sqlalchemy.insert(upload_lanes).values(**owned, lane=lane))

    def request(self, upload_id: UUID, requested: str) -> None:
        """Somebody asked to run, pause or cancel the upload."""
        owned = {"organization_id": self.upload(upload_id).organization_id, "batch_upload_id": upload_id}
        with self.owner.begin() as connection:
            connection.execute(sqlalchemy.delete(upload_control).where(upload_control.c.batch_upload_id == upload_id))
            connection.execute(
                sqlalchemy.insert(upload_control).values(**owned, requested=requested, requested_by="tests")
            )

    def change(self, upload_id: UUID, **facts: Any) -> None:
        """Change the upload's row."""
        with self.owner.begin() as connection:
            connection.execute(sqlalchemy.update(batch_uploads).where(batch_uploads.c.id == upload_id).values(facts))

    def execute(self, statement: str, **facts: Any) -> Any:
        """Meddle by hand; the rows, if it gives any."""
        with self.owner.begin() as connection:
            result = connection.execute(text(statement), facts)
            return result.all() if result.returns_rows else None

    def upload(self, upload_id: UUID) -> Any:
        """The upload's row."""
        with self.owner.connect() as connection:
            return connection.execute(sqlalchemy.select(batch_uploads).where(batch_uploads.c.id == upload_id)).one()

    def split(self, upload_id: UUID) -> Any:
        """The row of its split, or None."""
        query = sqlalchemy.select(upload_splits).where(upload_splits.c.batch_upload_id == upload_id)
        with self.owner.connect() as connection:
            return connection.execute(query).one_or_none()

    def lanes(self, upload_id: UUID) -> list[tuple[int, int, int]]:
        """Each lane with what it waits for and its gap's epoch."""
        lanes = upload_lanes.c
        query = sqlalchemy.select(lanes.lane, lanes.next_seq, lanes.gap_epoch).where(lanes.batch_upload_id == upload_id)
        with self.owner.connect() as connection:
            return [(row.lane, row.next_seq, row.gap_epoch) for row in connection.execute(query.order_by(lanes.lane))]

    def ledger(self, upload_id: UUID) -> list[Any]:
        """Its ledger rows, by chunk."""
        ledger = processed_chunks.c
        query = sqlalchemy.select(processed_chunks).where(ledger.batch_upload_id == upload_id)
        with self.owner.connect() as connection:
            return list(connection.execute(query.order_by(ledger.chunk_number)))

    def loaded(self, upload_id: UUID, record_type: RecordType = MEMBERS) -> dict[int, Any]:
        """Its rows in the record type's table, by row number."""
        query = f'SELECT * FROM "{record_type.table}" WHERE batch_upload_id = :id'  # noqa: S608 - a declared name
        return {row.row_number: row for row in self.execute(query, id=upload_id)}

    def rejected(self, upload_id: UUID) -> dict[int, Any]:
        """Its rejections, by row number."""
        query = sqlalchemy.select(batch_upload_errors).where(batch_upload_errors.c.batch_upload_id == upload_id)
        with self.owner.connect() as connection:
            return {row.row_number: row for row in connection.execute(query)}

    def codes(self, upload_id: UUID) -> dict[int, str]:
        """The error code of each rejected row."""
        return {number: row.error_code for number, row in self.rejected(upload_id).items()}

    def settled(self, upload_id: UUID) -> dict[int, int]:
        """What each lane waits for."""
        return {lane: next_seq for lane, next_seq, _ in self.lanes(upload_id)}


@contextmanager
def uploads_in(database_url: str) -> Iterator[Uploads]:
    """The uploads in the database at this address."""
    with engine_of(database_url, pool_size=4) as owner:
        yield Uploads(owner)


def accepted_event(upload_id: UUID, organization: UUID = DEFAULT_ORGANIZATION) -> bytes:
    """The event that wakes a splitter."""
    return codec.encode(
        UploadAccepted(upload_id=upload_id, organization_id=organization, attempt=1, record_type=MEMBERS.name)
    )


def chunks_of(
    data: bytes,
    upload_id: UUID,
    *,
    lanes: int = 1,
    chunk_records: int = 1_000,
    organization: UUID = DEFAULT_ORGANIZATION,
    record_type: RecordType = MEMBERS,
    attempt: int = 1,
) -> list[RecordChunk]:
    """The chunks of a file, as a splitter would send them, in the order in which it would."""
    settings = SplitterSlice(chunk_records=chunk_records, max_lanes=lanes, lane_bytes=1)
    limits = Limits()
    reading = open_reading(io.BytesIO(data), record_type, limits)
    job = Job(
        upload_id=upload_id, organization_id=organization, attempt=attempt, epoch=1, record_type=record_type.name,
        bucket=BUCKET, key="k", etag="e", size_bytes=len(data), correlation_id="c", traceparent=TRACE,
        duplicate_policy="warn", plan=None, already_split=False,
    )  # fmt: skip
    plan = make_plan(
        etag="e",
        size_bytes=len(data),
        columns=reading.columns,
        record_type=record_type,
        partitions=8,
        limits=limits,
        settings=settings,
    )
    cutter = Cutter(plan.lanes, max_records=plan.chunk_records, max_bytes=plan.chunk_bytes)
    cut = []
    for batch in reading:
        cut += cutter.add(batch, lanes_of(batch.records, reading.columns, record_type, plan.lanes))
    return [_message(chunk, plan, job) for chunk in (*cut, *cutter.finish())]


def received(chunk: RecordChunk, *, body: bytes | None = None, **headers: str) -> Received:
    """A chunk as a processor gets it; with another body, or with headers changed."""
    envelope = Envelope.new(
        "record_chunk",
        source="tests",
        organization_id=chunk.organization_id,
        correlation_id="c",
        traceparent=TRACE,
    )
    all_headers = {**envelope.headers(), **accounting_headers(chunk), **headers}
    value = codec.encode(chunk) if body is None else body
    return Received(CHUNKS, chunk.lane, chunk.lane_seq, str(chunk.upload_id).encode(), value, all_headers)


def again(chunks: Sequence[RecordChunk], epoch: int) -> list[RecordChunk]:
    """The same chunks, sent under another epoch."""
    return [replace(chunk, epoch=epoch) for chunk in chunks]
