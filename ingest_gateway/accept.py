"""The one use case: an upload is accepted, in one transaction that writes its row and what is to be said of it.

Every way in comes through here. The HTTP API first reserves a place (`reserve`: awaiting_upload), then confirms
(`confirm`: pending); whoever finds the object stored already takes it in at once (`take_in`). An upload is named by
(organization, source, event id), so the same request twice is the same upload. From the commit that accepts it on, an
upload is never lost (I5).

Each function runs in the caller's transaction, which already acts for the organization.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from ingest_gateway import acts, quotas
from ingest_gateway.announcements import say_accepted
from ingest_gateway.doer import Doer
from rowstream.database.tables import batch_uploads
from rowstream.errors import Poison
from rowstream.ids import new_id
from rowstream.runtime.metrics import UPLOADS_ACCEPTED
from rowstream.storage.store import ObjectInfo

RESERVED_SOURCES = frozenset({"api", "ui"})
"""Requests by HTTP, whose events are their Idempotency-Keys; each way has keys of its own."""
RAW_UPLOADS = "raw-uploads/"


class OtherRequest(Poison):
    """The event id was used before, for something else."""


class PlaceGone(Poison):
    """The upload no longer waits for its file; `upload_id` and `status` say which it is and where it stands."""

    def __init__(self, upload_id: UUID, status: str) -> None:
        super().__init__(f"upload {upload_id} no longer waits for its file: it is {status}")
        self.upload_id, self.status = upload_id, status


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who hands in, and as part of which request; (organization, source, event id) names the upload."""

    by: Doer
    source: str
    event_id: str
    traceparent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What is handed in; the filename is shown to people and never used as a path."""

    record_type: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the file of an upload is, or is to be, whether it was ever accepted, and what is known of its bytes.

    Attributes:
        upload_id: whose.
        status: of the upload.
        accepted: whether it ever was.
        bucket: where the file is, or is to be.
        key: there.
        size_bytes: how large it is, or was announced.
        body_sha256: of the body that came under the upload's Idempotency-Key, if there is one.
    """

    upload_id: UUID
    status: str
    accepted: bool
    bucket: str
    key: str
    size_bytes: int | None
    body_sha256: bytes | None


def reserve(connection: Connection, origin: Origin, handed: Handed, *, size_bytes: int | None, bucket: str) -> Place:
    """Make a place for a file of `size_bytes`, if that is known, which is still to be sent.

    The same request again gets the same place.

    Raises:
        OtherRequest: the event id was used before, for another file.
        PlaceGone: it was used for this one, which was confirmed or given up meanwhile.
        OverQuota: the organization may not hand in more.
    """
    upload_id = new_id()
    key = f"{RAW_UPLOADS}{origin.by.organization_id}/{upload_id}"
    values = {**_facts(upload_id, origin, handed), "s3_bucket": bucket, "s3_key": key, "size_bytes": size_bytes}
    row = insert_or_ignore(batch_uploads).values(status="awaiting_upload", **values)
    made = connection.execute(
        row.on_conflict_do_nothing(constraint="one_upload_an_event").returning(*batch_uploads.c)
    ).one_or_none()
    if made:
        quotas.foresee(connection, origin.by.organization_id, size_bytes)
        return place_in(made)
    earlier = find(connection, origin.source, origin.event_id)
    if earlier is None:  # pragma: no cover - uploads are never deleted, so the row that was in the way is there
        raise OtherRequest(f"event {origin.event_id} of {origin.source} is being handed in by somebody else")
    same_size = size_bytes is None or earlier.size_bytes == size_bytes
    if (earlier.record_type, earlier.filename) != (handed.record_type, handed.filename) or not same_size:
        raise OtherRequest(
            f"{origin.event_id!r} was used before, for {earlier.filename!r} ({earlier.size_bytes} bytes)"
        )
    if earlier.status != "awaiting_upload":
        raise PlaceGone(earlier.id, earlier.status)
    return place_in(earlier)


def name_body(connection: Connection, upload_id: UUID, sha256: bytes) -> bytes:
    """Note which body came under the upload's Idempotency-Key; returns the first that did, which the key stands for."""
    mine = func.coalesce(batch_uploads.c.body_sha256, sha256)
    change = update(batch_uploads).where(batch_uploads.c.id == upload_id).values(body_sha256=mine)
    first: bytes = connection.execute(change.returning(batch_uploads.c.body_sha256)).scalar_one()
    return first


def place_of(connection: Connection, upload_id: UUID) -> Place | None:
    """The place of an upload, or None if the organization has no such upload."""
    row = connection.execute(select(batch_uploads).where(batch_uploads.c.id == upload_id)).one_or_none()
    return None if row is None else place_in(row)


def confirm(connection: Connection, doer: Doer, upload_id: UUID, found: ObjectInfo, *, key: str | None = None) -> bool:
    """Accept a reserved upload whose object was found; False if it did not wait for its file (any more).

    The object is at the place that was reserved, or under `key` of the same bucket.

    Raises:
        OverQuota: the organization may not hand in more.
    """
    moved = {} if key is None else {"s3_key": key}
    change = (
        update(batch_uploads)
        .where(batch_uploads.c.id == upload_id, batch_uploads.c.status == "awaiting_upload")
        .values(status="pending", version=batch_uploads.c.version + 1, **_stored(found), **moved)
        .returning(*batch_uploads.c)
    )
    row = connection.execute(change).one_or_none()
    if row is None:
        return False
    _announce(connection, row, doer)
    return True


def take_in(
    connection: Connection, origin: Origin, handed: Handed, *, bucket: str, key: str, found: ObjectInfo
) -> UUID | None:
    """Accept an object that is stored already; returns the upload's id, or None if this event was taken in before.

    Raises:
        OverQuota: the organization may not hand in more.
    """
    values = {**_facts(new_id(), origin, handed), "s3_bucket": bucket, "s3_key": key, **_stored(found)}
    row = insert_or_ignore(batch_uploads).values(status="pending", **values)
    accepted = connection.execute(
        row.on_conflict_do_nothing(constraint="one_upload_an_event").returning(*batch_uploads.c)
    ).one_or_none()
    if accepted is None:
        return None
    _announce(connection, accepted, origin.by)
    upload_id: UUID = accepted.id
    return upload_id


def find(connection: Connection, source: str, event_id: str) -> Row[Any] | None:
    """The organization's upload that this event made, if it made one."""
    query = select(batch_uploads).where(batch_uploads.c.source == source, batch_uploads.c.source_event_id == event_id)
    return connection.execute(query).one_or_none()


def place_in(row: Row[Any]) -> Place:
    """The place that a row with all columns of `batch_uploads` tells of."""
    return Place(
        upload_id=row.id,
        status=row.status,
        accepted=row.accepted_at is not None,
        bucket=row.s3_bucket,
        key=row.s3_key,
        size_bytes=row.size_bytes,
        body_sha256=row.body_sha256,
    )


def _facts(upload_id: UUID, origin: Origin, handed: Handed) -> dict[str, object]:
    return {
        "id": upload_id,
        "organization_id": origin.by.organization_id,
        "source_type": origin.by.way,
        "source": origin.source,
        "source_event_id": origin.event_id,
        "correlation_id": origin.by.correlation_id,
        "traceparent": origin.traceparent,
        "created_by": origin.by.actor.name,
        "created_by_kind": origin.by.actor.kind,
        "created_by_id": origin.by.actor.id,
        "created_from": origin.by.address,
        "record_type": handed.record_type,
        "filename": handed.filename,
    }


def _stored(found: ObjectInfo) -> dict[str, object]:
    return {
        "etag": found.etag,
        "version_id": found.version_id,
        "size_bytes": found.size,
        "accepted_at": func.clock_timestamp(),
    }


def _announce(connection: Connection, row: Row[Any], doer: Doer) -> None:
    quotas.hold(connection, row.organization_id, row.size_bytes)
    say_accepted(connection, row)
    acts.note(connection, doer, "upload.accepted", upload_id=row.id, details={"size_bytes": row.size_bytes})
    UPLOADS_ACCEPTED.labels(row.source_type).inc()
