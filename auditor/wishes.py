"""What was asked of uploads, as the gateway noted it (`upload_control`); the auditor makes their status follow."""

from uuid import UUID

from sqlalchemy import Connection, text

_REQUESTED = text("SELECT requested FROM upload_control WHERE batch_upload_id = :upload_id")
# `status NOT IN (...)` is a partial index; a retry is noted by the row itself.
_OPEN_TO_FOLLOW = text("""
    SELECT u.id, u.organization_id
    FROM batch_uploads u JOIN upload_control c ON c.batch_upload_id = u.id
    WHERE u.status NOT IN ('completed', 'failed', 'cancelled')
      AND c.requested_at <= clock_timestamp() - make_interval(secs => :seconds)
      AND (
          c.requested = 'cancel' AND u.status <> 'awaiting_upload'
          OR c.requested = 'pause' AND u.status IN ('pending', 'processing')
          OR c.requested = 'run' AND u.status = 'paused'
          OR u.attempt > 1 AND NOT EXISTS (
              SELECT FROM batch_upload_audit_logs a
              WHERE a.batch_upload_id = u.id AND a.event_type = 'upload_retried' AND a.attempt = u.attempt
          )
      )
    ORDER BY u.id
""")


def requested(connection: Connection, upload_id: UUID) -> str:
    """What was asked of an upload last: run, pause or cancel."""
    return connection.execute(_REQUESTED, {"upload_id": upload_id}).scalar_one_or_none() or "run"


def not_followed(connection: Connection, *, seconds: float = 0.0) -> list[tuple[UUID, UUID]]:
    """(Upload, organization) pairs of which something was asked, so many seconds ago, and has not come about."""
    return [(row.id, row.organization_id) for row in connection.execute(_OPEN_TO_FOLLOW, {"seconds": seconds})]
