"""Uploads that wait for their files and will not be accepted: refused, dropped by whoever began them, or given up.

Only an upload that still waits is ended so: once it is accepted it is never lost. Each function runs in the caller's
transaction, which already acts for the organization.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select, text, update

from ingest_gateway import acts
from ingest_gateway.announcements import say_status
from ingest_gateway.doer import Doer
from rowstream.database.arrival_tables import multipart_uploads
from rowstream.database.tables import batch_uploads
from rowstream.runtime.metrics import UPLOADS_FINISHED
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import Begun, ObjectMissing

NEVER_SENT = "S3_004"
NO_TEXT = "FMT_002"
_NEVER_CAME = "the file was never sent, or never confirmed; begin again with a new upload"
_DROPPED = "whoever began it dropped it before the file was there; begin again with a new upload"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What an upload that was not accepted may have left in the store: an object, and parts of one."""

    bucket: str
    key: str
    begun: Begun | None


def refuse(connection: Connection, doer: Doer, upload_id: UUID, message: str) -> bool:
    """End an upload whose file is no text; False if it did not wait for its file (any more)."""
    return _ended_by(connection, doer, "upload.refused", upload_id, NO_TEXT, message)


def drop(connection: Connection, doer: Doer, upload_id: UUID) -> bool:
    """End an upload as whoever began it wishes; False if it did not wait for its file (any more)."""
    return _ended_by(connection, doer, "upload.dropped", upload_id, NEVER_SENT, _DROPPED)


def give_up(
    connection: Connection, *, after_seconds: int, in_parts_after_seconds: int, at_most: int
) -> Sequence[LeftBehind]:
    """End the organization's uploads whose files were not sent in time; returns what they left in the store.

    Args:
        connection: acts for the organization.
        after_seconds: how long an upload waits for its file.
        in_parts_after_seconds: how long one waits whose file is being sent in parts.
        at_most: so many are ended, and others the next time.
    """
    patience = case((_in_parts(), in_parts_after_seconds), else_=after_seconds)
    deadline = func.clock_timestamp() - patience * text("interval '1 second'")
    late = (
        select(batch_uploads.c.id)
        .where(batch_uploads.c.status == "awaiting_upload", batch_uploads.c.created_at < deadline)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    rows = _end(connection, batch_uploads.c.id.in_(late.scalar_subquery()), NEVER_SENT, _NEVER_CAME)
    return [_left_by(connection, row) for row in rows]


def left_by(connection: Connection, upload_id: UUID) -> LeftBehind:
    """What an upload that was not accepted may have left in the store."""
    row = connection.execute(select(batch_uploads).where(batch_uploads.c.id == upload_id)).one()
    return _left_by(connection, row)


def remove(store: S3Store, left: LeftBehind) -> None:
    """Remove what an upload left behind: its object, those of requests that broke off, and parts.

    Raises:
        StoreUnavailable: the store does not answer; do it again.
    """
    with suppress(ObjectMissing):  # the bucket is gone, with all that was in it
        if left.begun:
            store.parts.drop(left.begun)
        for key in (left.key, *store.keys_under(left.bucket, f"{left.key}.")):
            store.delete(left.bucket, key)


def _ended_by(connection: Connection, doer: Doer, action: str, upload_id: UUID, code: str, message: str) -> bool:
    ended = _end(connection, batch_uploads.c.id == upload_id, code, message)
    if ended:
        acts.note(connection, doer, action, upload_id=upload_id, details={"failure_code": code})
    return bool(ended)


def _end(connection: Connection, which: ColumnElement[bool], code: str, message: str) -> Sequence[Row[Any]]:
    change = (
        update(batch_uploads)
        .where(which, batch_uploads.c.status == "awaiting_upload")
        .values(
            status="failed",
            version=batch_uploads.c.version + 1,
            failure_code=code,
            failure_message=message,
            completed_at=func.clock_timestamp(),
        )
        .returning(*batch_uploads.c)
    )
    rows = connection.execute(change).all()
    for row in rows:
        say_status(connection, row)
        UPLOADS_FINISHED.labels("failed", code).inc()
    return rows


def _in_parts() -> ColumnElement[bool]:
    parts = multipart_uploads.c
    open_ = and_(parts.batch_upload_id == batch_uploads.c.id, parts.aborted_at.is_(None))
    return select(parts.batch_upload_id).where(open_).exists()


def _left_by(connection: Connection, row: Row[Any]) -> LeftBehind:
    query = (
        update(multipart_uploads)
        .where(multipart_uploads.c.batch_upload_id == row.id)
        .values(aborted_at=func.coalesce(multipart_uploads.c.aborted_at, func.clock_timestamp()))
        .returning(multipart_uploads.c.s3_upload_id)
    )
    in_parts = connection.execute(query).scalar_one_or_none()
    begun = None if in_parts is None else Begun(bucket=row.s3_bucket, key=row.s3_key, id=in_parts)
    return LeftBehind(bucket=row.s3_bucket, key=row.s3_key, begun=begun)
