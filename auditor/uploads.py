"""The row of an upload as the auditor sees it: locked, since totals and status are changed by nobody else meanwhile.

The lock is FOR NO KEY UPDATE: processors, whose foreign keys lock the same row FOR KEY SHARE while they load, neither
wait for the auditor nor keep it waiting.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, select, text, update

from auditor.totals import Totals
from rowstream.database.tables import batch_uploads

_LIMIT_WAITING = text(
    "SELECT set_config('lock_timeout', :lock_ms, true), set_config('statement_timeout', :statement_ms, true)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload: where it stands and what was counted so far."""

    id: UUID
    organization_id: UUID
    status: str
    version: int
    attempt: int
    record_type: str
    correlation_id: str
    traceparent: str
    total_records: int | None
    totals: Totals
    failure_code: str | None
    failure_message: str | None


def limit_waiting(connection: Connection, *, lock_ms: int = 5_000, statement_ms: int = 30_000) -> None:
    """Let no statement of this transaction wait for ever for a lock or at all; what was cut short is tried again."""
    connection.execute(_LIMIT_WAITING, {"lock_ms": str(lock_ms), "statement_ms": str(statement_ms)})


def lock(connection: Connection, upload_id: UUID) -> Upload | None:
    """The upload, locked until the transaction ends; None if there is no such upload.

    Several must be locked in the order of their ids.
    """
    query = select(batch_uploads).where(batch_uploads.c.id == upload_id).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Upload(
        id=row.id,
        organization_id=row.organization_id,
        status=row.status,
        version=row.version,
        attempt=row.attempt,
        record_type=row.record_type,
        correlation_id=row.correlation_id,
        traceparent=row.traceparent,
        total_records=row.total_records,
        totals=Totals(
            succeeded=row.succeeded_records,
            failed=row.failed_records,
            held=row.held_records,
            unprocessed=row.unprocessed_records,
            errors_by_code=row.errors_by_code,
        ),
        failure_code=row.failure_code,
        failure_message=row.failure_message,
    )


def add_totals(connection: Connection, upload: Upload, change: Totals) -> Upload:
    """Add to the totals of a locked upload; returns it as it is now."""
    after = upload.totals + change
    connection.execute(
        update(batch_uploads)
        .where(batch_uploads.c.id == upload.id)
        .values(
            processed_records=after.processed,
            succeeded_records=after.succeeded,
            failed_records=after.failed,
            held_records=after.held,
            unprocessed_records=after.unprocessed,
            errors_by_code=dict(after.errors_by_code),
        )
    )
    return replace(upload, totals=after)


def set_total_records(connection: Connection, upload: Upload, records: int | None) -> Upload:
    """Note how many records the file has; None while that is not known."""
    statement = update(batch_uploads).where(batch_uploads.c.id == upload.id).values(total_records=records)
    connection.execute(statement)
    return replace(upload, total_records=records)
