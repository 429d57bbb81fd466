"""How things stand, as gauges: what the database says of uploads and of chunks that were given up on.

Every auditor measures, not only the one that mends: a gauge that its last measurer has left behind would tell of then.
"""

from typing import Any

from sqlalchemy import Connection, text

from rowstream.database.tables import TERMINAL_STATUSES, UPLOAD_STATUSES
from rowstream.kafka.topics import CHUNK_RESULTS, SPLIT_RESULTS
from rowstream.runtime.metrics import (
    DEAD_LETTERS,
    OLDEST_UPLOAD,
    REPAIRS,
    UNPROCESSED_CHUNKS,
    UPLOADS_FINISHED,
    UPLOADS_OPEN,
)

OPEN_STATUSES = tuple(status for status in UPLOAD_STATUSES if status not in TERMINAL_STATUSES)
REPAIR_KINDS = ("chunk_results", "totals", "status", "closing", "control", "upload_accepted")

_OPEN_UPLOADS = text("""
    SELECT status, count(*) AS uploads,
           extract(epoch FROM clock_timestamp() - min(coalesce(accepted_at, created_at)))::float AS oldest
    FROM batch_uploads WHERE status NOT IN ('completed', 'failed', 'cancelled') GROUP BY status
""")
_GIVEN_UP = text("""
    SELECT count(*) FROM dead_letters d JOIN batch_uploads u ON u.id = d.batch_upload_id
    WHERE d.redriven_at IS NULL AND u.status = 'failed'
      AND u.completed_at >= now() - make_interval(secs => :remind_seconds)
""")


def begin() -> None:
    """Show the counters that alerts look at as 0, since Prometheus cannot see the first step of one that appears."""
    for kind in REPAIR_KINDS:
        REPAIRS.labels(kind)
    for topic in (CHUNK_RESULTS, SPLIT_RESULTS):
        DEAD_LETTERS.labels(topic)
    UPLOADS_FINISHED.labels("completed", "")
    for code in ("S3_001", "S3_002", "UNK_001"):
        UPLOADS_FINISHED.labels("failed", code)


def measure(connection: Connection, *, remind_seconds: float) -> None:
    """Set the gauges; what was given up on counts for so many seconds after its upload has failed.

    Raises:
        sqlalchemy.exc.OperationalError: the database is away; the gauges are as they were.
    """
    rows: Any = connection.execute(_OPEN_UPLOADS)
    found = {row.status: row for row in rows}
    for status in OPEN_STATUSES:
        row = found.get(status)
        UPLOADS_OPEN.labels(status).set(row.uploads if row else 0)
        OLDEST_UPLOAD.labels(status).set(max(row.oldest, 0.0) if row else 0.0)
    UNPROCESSED_CHUNKS.set(connection.execute(_GIVEN_UP, {"remind_seconds": remind_seconds}).scalar_one())
