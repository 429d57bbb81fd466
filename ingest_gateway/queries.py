"""What people ask, as SQL; every query runs in a transaction that acts for one organization and sees no other.

Lists go by a key, never by an offset: a page costs the same wherever it is, and nothing is skipped or told twice when
rows are added meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Result, Select, and_, cast, extract, false, func, select, tuple_

from rowstream.database.tables import batch_upload_errors, batch_uploads, dead_letters, upload_control, upload_splits

HIDDEN = ("s3_bucket", "s3_key")
Upload = Mapping[str, Any]
Rejection = Mapping[str, Any]
DeadLetter = Mapping[str, Any]


def upload(connection: Connection, upload_id: UUID) -> Upload | None:
    """One upload as people see it, or None."""
    row = connection.execute(_uploads().where(batch_uploads.c.id == upload_id)).one_or_none()
    return row._asdict() if row else None


def uploads(
    connection: Connection,
    *,
    status: str | None = None,
    record_type: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[Upload]:
    """The newest uploads first, at most `limit`, those after a place in that order."""
    query = _uploads().order_by(batch_uploads.c.created_at.desc(), batch_uploads.c.id.desc()).limit(limit)
    if status:
        query = query.where(batch_uploads.c.status == status)
    if record_type:
        query = query.where(batch_uploads.c.record_type == record_type)
    if after:
        query = query.where(tuple_(batch_uploads.c.created_at, batch_uploads.c.id) < tuple_(*after))
    return _dicts(connection.execute(query))


def rejections(
    connection: Connection, upload_id: UUID, *, code: str | None = None, after: int = 0, limit: int
) -> Sequence[Rejection]:
    """The upload's rejected records in row order, at most `limit`, those after a row number."""
    errors = batch_upload_errors.c
    query = (
        select(
            errors.row_number,
            errors.error_code,
            errors.error_message,
            errors.errors,
            errors.row_data,
            errors.raw_text,
        )
        .where(errors.batch_upload_id == upload_id, errors.row_number > after)
        .order_by(errors.row_number)
        .limit(limit)
    )
    if code:
        query = query.where(errors.error_code == code)
    return _dicts(connection.execute(query))


def file_headers(connection: Connection, upload_id: UUID) -> tuple[str, ...]:
    """The file's own headers in file order, as the splitter pinned them; none before it has read the header."""
    query = select(upload_splits.c.plan["columns"]).where(upload_splits.c.batch_upload_id == upload_id)
    columns: Sequence[Mapping[str, Any]] | None = connection.execute(query).scalar_one_or_none()
    return tuple(str(column["header"]) for column in columns or ())


def dead_letter(connection: Connection, letter_id: UUID) -> DeadLetter | None:
    """One dead letter, or None."""
    row = connection.execute(_letters().where(dead_letters.c.id == letter_id)).one_or_none()
    return row._asdict() if row else None


def dead_letters_of(
    connection: Connection,
    *,
    upload_id: UUID | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[DeadLetter]:
    """The newest dead letters first, of one upload or of all, at most `limit`, those after a place in that order."""
    letters = dead_letters.c
    query = _letters().order_by(letters.created_at.desc(), letters.id.desc()).limit(limit)
    if upload_id:
        query = query.where(letters.batch_upload_id == upload_id)
    if after:
        query = query.where(tuple_(letters.created_at, letters.id) < tuple_(*after))
    return _dicts(connection.execute(query))


def _letters() -> Select[Any]:
    hidden = ("organization_id", "batch_upload_id")
    shown = [column for column in dead_letters.c if column.name not in hidden]
    return select(
        *shown,
        dead_letters.c.batch_upload_id.label("upload_id"),
        batch_uploads.c.filename,
        batch_uploads.c.status.label("upload_status"),
    ).join_from(dead_letters, batch_uploads, batch_uploads.c.id == dead_letters.c.batch_upload_id)


def _dicts(result: Result[Any]) -> list[dict[str, Any]]:
    """All rows as plain dictionaries."""
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def _uploads() -> Select[Any]:
    shown = [column for column in batch_uploads.c if column.name not in HIDDEN]
    end = func.coalesce(batch_uploads.c.completed_at, func.clock_timestamp())
    milliseconds = cast(extract("epoch", end - batch_uploads.c.accepted_at) * 1000, BigInteger)
    return select(
        *shown,
        milliseconds.label("duration_ms"),
        func.coalesce(upload_splits.c.records_split, 0).label("records_split"),
        func.coalesce(upload_splits.c.bytes_read, 0).label("bytes_read"),
        func.encode(upload_splits.c.content_sha256, "hex").label("content_sha256"),
        upload_splits.c.duplicate_of,
        func.coalesce(upload_control.c.requested, "run").label("requested"),
        func.coalesce(upload_control.c.undo, false()).label("undo"),
        func.coalesce(upload_control.c.undone_records, 0).label("undone_records"),
        upload_control.c.undone_at,
    ).select_from(
        batch_uploads.outerjoin(
            upload_splits,
            and_(
                upload_splits.c.batch_upload_id == batch_uploads.c.id,
                upload_splits.c.attempt == batch_uploads.c.attempt,
            ),
        ).outerjoin(upload_control, upload_control.c.batch_upload_id == batch_uploads.c.id)
    )
