"""Which uploads wait to be split, and which of them is next.

Every accepted upload has a row in `upload_splits`, open until all its chunks have an outcome. It waits while nobody
holds it and nobody asked it to pause; while its record type stands still it is passed over. The next one is of the
organization that is being served least, so that a thousand files of one do not hold back the single file of another,
and of that organization the oldest.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from rowstream.database.standstills import TAKES_PART


@dataclass(frozen=True, kw_only=True)
class Job:
    """An upload to split, as it stood when its lease was taken."""

    upload_id: UUID
    organization_id: UUID
    attempt: int
    epoch: int
    record_type: str
    bucket: str
    key: str
    etag: str
    size_bytes: int
    correlation_id: str
    traceparent: str
    duplicate_policy: str
    plan: dict[str, Any] | None
    already_split: bool


# A retried upload is split again by the plan that it has; a former holder, should there be one, has lost its lease.
_REOPENED = """
    closed_at = NULL, holder = NULL, lease_until = NULL, failure_code = NULL, failure_message = NULL,
    split_at = NULL, chunks = NULL, records = NULL, duplicate_of = NULL
"""
_ENQUEUE = text(f"""
    INSERT INTO upload_splits (organization_id, batch_upload_id, attempt, record_type)
    SELECT organization_id, id, attempt, record_type FROM batch_uploads WHERE id = :upload_id AND etag IS NOT NULL
    ON CONFLICT (batch_upload_id) DO UPDATE
    SET attempt = excluded.attempt, epoch = upload_splits.epoch + 1, {_REOPENED}
    WHERE upload_splits.attempt < excluded.attempt
""")  # noqa: S608 - put together from the constant above
_IS_OF = text("SELECT EXISTS (SELECT FROM batch_uploads WHERE id = :upload_id AND organization_id = :organization_id)")
_REOPEN = text(f"""
    UPDATE upload_splits s SET attempt = u.attempt, epoch = s.epoch + 1, {_REOPENED}
    FROM batch_uploads u WHERE u.id = s.batch_upload_id AND u.status = 'pending' AND s.attempt < u.attempt
""")  # noqa: S608 - put together from the constant above
# Of the same attempt: a retry may commit while this waits for its row, and only that row is read anew then.
_CLOSE_ENDED = text("""
    UPDATE upload_splits s SET holder = NULL, closed_at = clock_timestamp()
    FROM batch_uploads u
    WHERE u.id = s.batch_upload_id AND u.status IN ('cancelled', 'failed')
      AND s.closed_at IS NULL AND (s.lease_until IS NULL OR s.lease_until < clock_timestamp())
      AND s.attempt <= u.attempt
""")
# `closed_at IS NULL` is a partial index.
_TAKE = text(f"""
    UPDATE upload_splits s
    SET epoch = epoch + 1, holder = :holder, lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM batch_uploads u JOIN organizations o ON o.id = u.organization_id
    WHERE u.id = s.batch_upload_id AND s.batch_upload_id = (
        SELECT w.batch_upload_id
        FROM upload_splits w
        JOIN batch_uploads b ON b.id = w.batch_upload_id
        LEFT JOIN upload_control c ON c.batch_upload_id = w.batch_upload_id
        LEFT JOIN (
            SELECT organization_id, count(*) AS leases FROM upload_splits
            WHERE closed_at IS NULL AND lease_until >= clock_timestamp() GROUP BY organization_id
        ) h ON h.organization_id = w.organization_id
        WHERE w.closed_at IS NULL AND (w.lease_until IS NULL OR w.lease_until < clock_timestamp())
          AND coalesce(c.requested, 'run') = 'run'
          AND (CAST(:at_most_bytes AS bigint) IS NULL OR b.size_bytes <= :at_most_bytes)
          AND b.s3_bucket <> ALL (CAST(:not_in AS text[])) AND {TAKES_PART}
        ORDER BY coalesce(h.leases, 0), w.created_at LIMIT 1 FOR UPDATE OF w SKIP LOCKED
    )
    RETURNING s.batch_upload_id AS upload_id, s.organization_id, s.attempt, s.epoch, s.record_type, s.plan,
              s.split_at IS NOT NULL AS already_split, u.s3_bucket AS bucket, u.s3_key AS key, u.etag, u.size_bytes,
              u.correlation_id, u.traceparent, o.duplicate_policy
""")  # noqa: S608 - put together from a constant


def is_of(connection: Connection, upload_id: UUID, organization_id: UUID) -> bool:
    """Whether there is such an upload, and it is this organization's."""
    found = connection.execute(_IS_OF, {"upload_id": upload_id, "organization_id": organization_id})
    return bool(found.scalar_one())


def enqueue(connection: Connection, upload_id: UUID) -> None:
    """Note that an accepted upload waits to be split; the second time changes nothing, but for a retried one."""
    connection.execute(_ENQUEUE, {"upload_id": upload_id})


def take(
    engine: Engine, *, holder: str, seconds: float, at_most_bytes: int | None = None, not_in: Collection[str] = ()
) -> Job | None:
    """Make `holder` the holder of the next upload, for so many seconds; None if none waits.

    `at_most_bytes` leaves out larger files, `not_in` those in these buckets.
    """
    facts = {"holder": holder, "seconds": seconds, "at_most_bytes": at_most_bytes, "not_in": list(not_in)}
    with engine.begin() as connection:
        row = connection.execute(_TAKE, facts).mappings().one_or_none()
    return None if row is None else Job(**row)


def tidy(engine: Engine) -> None:
    """Do what lost events and holders left undone: open what is retried, close what was cancelled or has failed."""
    with engine.begin() as connection:
        connection.execute(_REOPEN)
        connection.execute(_CLOSE_ENDED)
