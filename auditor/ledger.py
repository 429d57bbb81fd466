"""The ledger as the auditor reads it: the results that count, whatever became of the messages that told of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from rowstream.messages.chunk_result import ChunkResult

_COLUMNS = """
    l.batch_upload_id AS upload_id, l.organization_id, l.attempt, l.chunk_number, l.lane, l.lane_seq, l.first_row,
    l.last_row, l.records, l.outcome, l.succeeded_records, l.failed_records, l.held_records, l.unprocessed_records,
    l.errors_by_code, l.started_at, l.duration_ms, l.worker
"""
_IS_NOT_FOLDED = """
    NOT EXISTS (
        SELECT FROM batch_upload_audit_logs a
        WHERE a.batch_upload_id = l.batch_upload_id AND a.chunk_number = l.chunk_number AND a.attempt = l.attempt
              AND a.event_type = 'chunk_completed'
    )
"""
# What has only just been written may still be on its way as a message. The age is rough: a row's duration begins before
# its transaction, so one that was committed just now may seem to be of the future.
_MISSING = text(f"""
    SELECT {_COLUMNS} FROM processed_chunks l
    WHERE l.batch_upload_id = ANY(:upload_ids) AND {_IS_NOT_FOLDED}
          AND (
              CAST(:grace_seconds AS double precision) IS NULL
              OR l.started_at + make_interval(secs => :grace_seconds + l.duration_ms / 1000.0) <= clock_timestamp()
          )
    ORDER BY l.batch_upload_id, l.chunk_number LIMIT :at_most
""")  # noqa: S608 - put together from the constants above
_RECORDS = text("SELECT coalesce(sum(records), 0)::bigint FROM processed_chunks WHERE batch_upload_id = :upload_id")


def not_folded(
    connection: Connection, upload_ids: Sequence[UUID], *, grace_seconds: float | None = None, at_most: int = 1_000_000
) -> list[ChunkResult]:
    """Ledger rows of these uploads that the audit log does not have; only those at least so old, if that is given."""
    facts: dict[str, Any] = {"upload_ids": list(upload_ids), "grace_seconds": grace_seconds, "at_most": at_most}
    return [ChunkResult(**row) for row in connection.execute(_MISSING, facts).mappings()]


def records_of(connection: Connection, upload_id: UUID) -> int:
    """Records of all chunks of an upload that the ledger has."""
    return int(connection.execute(_RECORDS, {"upload_id": upload_id}).scalar_one())
