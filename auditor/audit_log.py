"""The audit log: one row for each outcome of a chunk, and one for each exceptional event; only ever added to.

All SQL that touches the log is here. The row of an outcome is unique by upload, chunk and attempt, and that is what
makes folding safe: only what an INSERT really added may be added to the totals.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, bindparam, insert, text
from sqlalchemy.dialects.postgresql import JSONB

from auditor.totals import Outcome, Totals
from auditor.uploads import Upload
from rowstream.database.tables import batch_upload_audit_logs
from rowstream.messages.chunk_result import ChunkResult

# One JSON parameter for all rows: compiling hundreds of VALUES takes longer than inserting them.
_ADD = text("""
    INSERT INTO batch_upload_audit_logs (
        organization_id, batch_upload_id, event_type, attempt, chunk_number, records_in_chunk, succeeded_count,
        failed_count, started_at, duration_ms, metadata
    )
    SELECT :organization_id, :upload_id, 'chunk_completed', attempt, chunk_number, records, succeeded, failed,
           started_at, duration_ms, metadata
    FROM jsonb_to_recordset(:rows) AS row (
        attempt integer, chunk_number bigint, records bigint, succeeded bigint, failed bigint, started_at timestamptz,
        duration_ms bigint, metadata jsonb
    )
    ON CONFLICT (batch_upload_id, chunk_number, attempt) WHERE event_type = 'chunk_completed' DO NOTHING
    RETURNING chunk_number, attempt
""").bindparams(bindparam("rows", type_=JSONB))
_READ = """
    SELECT chunk_number, attempt, succeeded_count, failed_count, metadata FROM batch_upload_audit_logs
    WHERE event_type = 'chunk_completed' AND batch_upload_id = :upload_id
"""
_READ_ALL = text(_READ)
_READ_CHUNKS = text(_READ + " AND chunk_number = ANY(:chunk_numbers)")
# How many chunks have an outcome, and how many records are unprocessed by an attempt before this one.
_TALLY = text("""
    SELECT count(*) AS chunks,
           coalesce(sum((metadata ->> 'unprocessed')::bigint) FILTER (WHERE attempt < :attempt), 0)::bigint AS stale
    FROM (
        SELECT DISTINCT ON (chunk_number) chunk_number, attempt, metadata FROM batch_upload_audit_logs
        WHERE event_type = 'chunk_completed' AND batch_upload_id = :upload_id
        ORDER BY chunk_number, attempt DESC
    ) AS latest
""")
_HAS = text("""
    SELECT EXISTS (
        SELECT FROM batch_upload_audit_logs
        WHERE batch_upload_id = :upload_id AND event_type = :event_type AND attempt = :attempt
    )
""")


class Tally(NamedTuple):
    """Chunks that have an outcome, and records left unprocessed by an earlier attempt, which this one is to redo."""

    chunks: int
    stale_unprocessed: int


def add_outcomes(connection: Connection, upload: Upload, results: Sequence[ChunkResult]) -> set[tuple[int, int]]:
    """Add the results that the log does not have; returns (chunk number, attempt) of what was added, nothing else."""
    facts = {"organization_id": upload.organization_id, "upload_id": upload.id, "rows": [_row(one) for one in results]}
    return {(row.chunk_number, row.attempt) for row in connection.execute(_ADD, facts)}


def outcomes(connection: Connection, upload_id: UUID, chunk_numbers: Collection[int] | None = None) -> list[Outcome]:
    """What the log has of these chunks of an upload, or of all, each attempt by itself."""
    if chunk_numbers is None:
        rows: Iterable[Any] = connection.execute(_READ_ALL, {"upload_id": upload_id})
    else:
        facts = {"upload_id": upload_id, "chunk_numbers": list(chunk_numbers)}
        rows = connection.execute(_READ_CHUNKS, facts)
    return [
        Outcome(
            chunk_number=row.chunk_number,
            attempt=row.attempt,
            totals=Totals(
                succeeded=row.succeeded_count,
                failed=row.failed_count,
                held=row.metadata["held"],
                unprocessed=row.metadata["unprocessed"],
                errors_by_code=row.metadata["errors_by_code"],
            ),
        )
        for row in rows
    ]


def tally(connection: Connection, upload: Upload) -> Tally:
    """What completion needs to know beside the totals; reads the upload's whole log, so only ask near the end."""
    row = connection.execute(_TALLY, {"upload_id": upload.id, "attempt": upload.attempt}).one()
    return Tally(row.chunks, row.stale)


def note(
    connection: Connection, upload: Upload, event_type: str, *, chunk_number: int | None = None, **metadata: object
) -> None:
    """Add an exceptional event, with facts of its own."""
    connection.execute(
        insert(batch_upload_audit_logs).values(
            organization_id=upload.organization_id,
            batch_upload_id=upload.id,
            event_type=event_type,
            attempt=upload.attempt,
            chunk_number=chunk_number,
            metadata=metadata,
        )
    )


def has(connection: Connection, upload: Upload, event_type: str) -> bool:
    """Whether the log has such an event for the upload's present attempt."""
    facts = {"upload_id": upload.id, "event_type": event_type, "attempt": upload.attempt}
    return bool(connection.execute(_HAS, facts).scalar_one())


def _row(result: ChunkResult) -> dict[str, object]:
    return {
        "attempt": result.attempt,
        "chunk_number": result.chunk_number,
        "records": result.records,
        "succeeded": result.succeeded_records,
        "failed": result.failed_records,
        "started_at": result.started_at.isoformat(),
        "duration_ms": result.duration_ms,
        "metadata": {
            "outcome": result.outcome,
            "held": result.held_records,
            "unprocessed": result.unprocessed_records,
            "errors_by_code": result.errors_by_code,
            "worker": result.worker,
        },
    }
