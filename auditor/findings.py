"""What the reconciler looks for, as SQL: each query goes by a partial index or by the ids of few uploads.

The conditions `status NOT IN (...)` are written as the indexes have them, since only then can Postgres use these.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from auditor.stuck import Sighting

_OPEN = "u.status NOT IN ('completed', 'failed', 'cancelled')"

_OPEN_AND_RECENT = text(f"""
    SELECT u.id FROM batch_uploads u WHERE {_OPEN} AND u.status <> 'awaiting_upload'
    UNION
    SELECT u.id FROM batch_uploads u WHERE u.completed_at >= now() - make_interval(secs => :seconds)
    ORDER BY id
""")  # noqa: S608 - put together from the constant above
# One statement sees one moment, so a difference is no race: log and totals change in one transaction.
_DRIFTED = text("""
    SELECT u.id
    FROM batch_uploads u CROSS JOIN LATERAL (
        SELECT coalesce(sum(succeeded_count), 0) AS succeeded, coalesce(sum(failed_count), 0) AS failed,
               coalesce(sum((metadata ->> 'held')::bigint), 0) AS held,
               coalesce(sum((metadata ->> 'unprocessed')::bigint), 0) AS unprocessed
        FROM (
            SELECT DISTINCT ON (chunk_number) * FROM batch_upload_audit_logs
            WHERE batch_upload_id = u.id AND event_type = 'chunk_completed'
            ORDER BY chunk_number, attempt DESC
        ) AS latest
    ) AS log
    WHERE u.id = ANY(:upload_ids) AND (
        u.succeeded_records <> log.succeeded OR u.failed_records <> log.failed OR u.held_records <> log.held
        OR u.unprocessed_records < log.unprocessed
        OR u.unprocessed_records > log.unprocessed AND NOT EXISTS (
            SELECT FROM batch_upload_audit_logs c
            WHERE c.batch_upload_id = u.id AND c.event_type = 'upload_closed' AND c.attempt = u.attempt
        )
        OR u.processed_records <> log.succeeded + log.failed + log.held
    )
    ORDER BY u.id
""")
_DUE = text(f"""
    SELECT u.id, u.organization_id FROM batch_uploads u JOIN upload_splits s ON s.batch_upload_id = u.id
    WHERE {_OPEN} AND u.status IN ('pending', 'processing', 'paused') AND s.attempt = u.attempt
      AND coalesce(s.split_at, s.closed_at) < clock_timestamp() - make_interval(secs => :grace_seconds)
      AND (
          s.failure_code IS NOT NULL
          OR u.total_records IS NULL AND s.records IS NOT NULL
          OR u.processed_records + u.unprocessed_records = s.records AND u.status <> 'paused'
      )
    ORDER BY u.id
""")  # noqa: S608 - put together from the constant above
_NOT_CLOSED = text("""
    SELECT u.id FROM batch_uploads u LEFT JOIN upload_splits s ON s.batch_upload_id = u.id
    WHERE u.completed_at >= now() - make_interval(secs => :seconds)
      AND (u.status = 'cancelled' OR u.status = 'failed' AND s.failure_code IS NOT NULL)
      AND NOT EXISTS (
          SELECT FROM batch_upload_audit_logs a
          WHERE a.batch_upload_id = u.id AND a.event_type = 'upload_closed' AND a.attempt = u.attempt
      )
    ORDER BY u.id
""")
# What was asked of it last counts as its announcement: a retry is one.
_UNCLAIMED = text(f"""
    SELECT u.id AS upload_id, count(a.id) AS times,
           extract(epoch FROM clock_timestamp() - greatest(
               max(a.created_at), max(c.requested_at), coalesce(u.accepted_at, u.created_at)
           ))::float AS seconds
    FROM batch_uploads u LEFT JOIN upload_control c ON c.batch_upload_id = u.id
         LEFT JOIN batch_upload_audit_logs a
             ON a.batch_upload_id = u.id AND a.event_type = 'repaired' AND a.metadata ->> 'kind' = 'upload_accepted'
                AND a.attempt = u.attempt
    WHERE {_OPEN} AND u.status = 'pending'
      AND greatest(coalesce(u.accepted_at, u.created_at), c.requested_at)
          < clock_timestamp() - make_interval(secs => :seconds)
      AND NOT EXISTS (SELECT FROM upload_splits s WHERE s.batch_upload_id = u.id AND s.attempt >= u.attempt)
    GROUP BY u.id ORDER BY u.id
""")  # noqa: S608 - put together from the constant above
# What a splitter noted of the attempt before says nothing of this one.
_SIGHTINGS = text(f"""
    SELECT u.id, s.batch_upload_id IS NOT NULL AS noted,
           CASE WHEN s.lease_until > clock_timestamp() THEN s.holder END AS holder,
           u.status, u.attempt, u.processed_records + u.unprocessed_records AS counted,
           s.records_split, s.bytes_read, s.chunks,
           (SELECT sum(l.next_seq) FROM upload_lanes l WHERE l.batch_upload_id = u.id) AS settled
    FROM batch_uploads u LEFT JOIN upload_splits s ON s.batch_upload_id = u.id AND s.attempt >= u.attempt
    WHERE {_OPEN} AND u.status IN ('pending', 'processing')
""")  # noqa: S608 - put together from the constant above


class Unclaimed(NamedTuple):
    """An accepted upload that no splitter has noted.

    Attributes:
        times: How often it was announced again.
        seconds: Since it was announced last.
    """

    upload_id: UUID
    times: int
    seconds: float


def open_and_recent(connection: Connection, *, seconds: float) -> list[UUID]:
    """Uploads that may have results and are open, or ended at most so many seconds ago."""
    return list(connection.execute(_OPEN_AND_RECENT, {"seconds": seconds}).scalars())


def drifted(connection: Connection, upload_ids: Sequence[UUID]) -> list[UUID]:
    """Of these the uploads whose totals are not what their audit log adds up to."""
    return list(connection.execute(_DRIFTED, {"upload_ids": list(upload_ids)}).scalars())


def due(connection: Connection, *, grace_seconds: float) -> list[tuple[UUID, UUID]]:
    """(Upload, organization) pairs whose status ought to have changed so many seconds ago."""
    rows: Any = connection.execute(_DUE, {"grace_seconds": grace_seconds})
    return [(row.id, row.organization_id) for row in rows]


def not_closed(connection: Connection, *, seconds: float) -> list[UUID]:
    """Uploads cut short in the last so many seconds and not yet at rest."""
    return list(connection.execute(_NOT_CLOSED, {"seconds": seconds}).scalars())


def unclaimed(connection: Connection, *, seconds: float) -> list[Unclaimed]:
    """Uploads accepted more than so many seconds ago that no splitter has noted."""
    return [Unclaimed(*row) for row in connection.execute(_UNCLAIMED, {"seconds": seconds})]


def sightings(connection: Connection) -> list[Sighting]:
    """Every upload that should be moving, with what it has reached."""
    rows: Any = connection.execute(_SIGHTINGS)
    return [
        Sighting(
            upload_id=row.id,
            noted=row.noted,
            holder=row.holder,
            reached=(
                row.status,
                row.attempt,
                row.counted,
                row.records_split,
                row.bytes_read,
                row.chunks,
                row.settled,
            ),
        )
        for row in rows
    ]
