"""Takes the rows of cancelled uploads out again, where somebody asked for it.

Only once an upload is at rest (the auditor has closed it, with every lane locked once more): from then on nobody adds
to its rows. They go in windows of row numbers, each in a transaction of its own that also counts them and notes how
far it came. So a kill costs at most one window, several processors share the work, and the count is exact at any
moment. The ledger and the rejections stay as they are: they tell what was.
"""

from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection, Engine, text

from rowstream.database.connection import driver
from rowstream.database.record_tables import find_rows_by_upload
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import UNDONE_RECORDS

log = get_logger(__name__)

WINDOW_ROWS = 10_000
_LIMIT_WAITING = text("SET LOCAL lock_timeout = '5s'")
_TAKE = text("""
    SELECT c.batch_upload_id AS id, u.record_type, t.table_name, c.undone_to,
           (SELECT max(p.last_row) FROM processed_chunks p WHERE p.batch_upload_id = u.id) AS last_row
    FROM upload_control c
    JOIN batch_uploads u ON u.id = c.batch_upload_id
    JOIN record_type_tables t ON t.record_type = u.record_type
    WHERE c.undo AND c.undone_at IS NULL AND u.status = 'cancelled' AND EXISTS (
        SELECT FROM batch_upload_audit_logs a
        WHERE a.batch_upload_id = u.id AND a.event_type = 'upload_closed' AND a.attempt = u.attempt
    )
    ORDER BY c.requested_at, c.batch_upload_id LIMIT 1
    FOR UPDATE OF c SKIP LOCKED
""")
# The index that finds an upload's rows knows nothing of blocks filled since the last vacuum, and would read them all.
_SUMMARIZE = text("""
    SELECT brin_summarize_new_values(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
    WHERE i.indrelid = to_regclass(quote_ident(:table_name)) AND m.amname = 'brin'
""")
_DELETE = "DELETE FROM {} WHERE batch_upload_id = %s AND row_number > %s AND row_number <= %s"
_NOTE = text("""
    UPDATE upload_control
    SET undone_records = undone_records + :rows, undone_to = :up_to,
        undone_at = CASE WHEN :finished THEN clock_timestamp() END
    WHERE batch_upload_id = :id RETURNING undone_records
""")


@dataclass(frozen=True)
class Window:
    """What one transaction took out.

    Attributes:
        upload_id: Whose rows.
        rows: How many of them.
        finished: Whether these were the last.
    """

    upload_id: UUID
    rows: int
    finished: bool


def undo_some(engine: Engine, *, window_rows: int = WINDOW_ROWS) -> Window | None:
    """Take out the next rows, of at most `window_rows` row numbers, of the upload that was asked for first.

    Returns:
        None if nothing is to be undone, or others are at it.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away, or something holds a lock for too long; nothing has happened.
    """
    with engine.begin() as connection:
        connection.execute(_LIMIT_WAITING)
        due = connection.execute(_TAKE).one_or_none()
        if due is None:
            return None
        if due.undone_to == 0:
            connection.execute(_SUMMARIZE, {"table_name": due.table_name})
        up_to = due.undone_to + window_rows
        rows = _delete(connection, due.table_name, due.id, after=due.undone_to, up_to=up_to)
        finished = up_to >= (due.last_row or 0)
        facts = {"rows": rows, "up_to": up_to, "finished": finished, "id": due.id}
        total = connection.execute(_NOTE, facts).scalar_one()
    UNDONE_RECORDS.labels(due.record_type).inc(rows)
    if finished:
        log.info("a cancelled upload's rows were taken out again", upload_id=str(due.id), rows=total)
    return Window(due.id, rows, finished)


def _delete(connection: Connection, table: str, upload_id: UUID, *, after: int, up_to: int) -> int:
    find_rows_by_upload(connection)
    statement = sql.SQL(_DELETE).format(sql.Identifier(table))
    return driver(connection).execute(statement, (upload_id, after, up_to)).rowcount
