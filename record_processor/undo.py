"""Takes the rows of cancelled uploads out again, where somebody asked for it.

Only once an upload is at rest (the auditor has closed it, with every lane locked once more): from then on nobody adds
to its rows. They go in windows of row numbers, each in a transaction of its own that also counts them and notes how
far it came. So a kill costs at most one window, several processors share the work, and the count is exact at any
moment. The ledger and the rejections stay as they are: they tell what was.

An upload whose rows the database does not let go is left out for longer and longer, so that all others' go.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection, Engine, text

from record_processor.backoff import Backoff
from record_processor.reactions import concerns_everybody, reason_of
from rowstream.database.connection import driver
from rowstream.database.record_tables import find_rows_by_upload
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import UNDONE_RECORDS

log = get_logger(__name__)

WINDOW_ROWS = 10_000
TOLD_AFTER_SECONDS = 60.0
"""For so long an undo may fail before readiness says so."""

_PART = "undo"
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
    AND c.batch_upload_id <> ALL (CAST(:left_out AS uuid[]))
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


class NotUndone(Exception):
    """The database refuses to let go of an upload's rows; the text says which table, and the kind of its error."""

    def __init__(self, upload_id: UUID, why: str) -> None:
        super().__init__(why)
        self.upload_id = upload_id


class Undoer:
    """Undoes whatever may be undone; not for use by several threads at once."""

    def __init__(self, engine: Engine, health: Health, *, window_rows: int = WINDOW_ROWS) -> None:
        """`engine` acts as the processor's role; `health` is told of uploads that cannot be undone for long."""
        self._engine, self._health, self._window_rows = engine, health, window_rows
        self._failing: Backoff[UUID] = Backoff()

    def some(self) -> bool:
        """Take out the next rows, if there are any; whether there may be more to do at once.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        left_out = set(self._failing.left_out())
        try:
            window = undo_some(self._engine, window_rows=self._window_rows, left_out=left_out)
        except NotUndone as error:
            upload_id, why = error.upload_id, str(error)
            seconds = self._failing.failed(upload_id, why)
            log.warning("rows not taken out for now", upload_id=str(upload_id), reason=why, again_in_seconds=seconds)
            self._tell()
            return not self._failing.is_full
        if window:
            self._failing.done(window.upload_id)
        else:
            self._failing.forget_all_but(left_out)
        self._tell()
        return window is not None

    def _tell(self) -> None:
        """Let readiness say of uploads that have failed for long how many there are, and why the first one does."""
        told = None
        if failing := self._failing.failing_for(TOLD_AFTER_SECONDS):
            upload_id, why = failing[0]
            told = f"the rows of {len(failing)} cancelled uploads cannot be taken out; of upload {upload_id}: {why}"
        self._health.degraded(_PART, told)


def undo_some(engine: Engine, *, window_rows: int = WINDOW_ROWS, left_out: Collection[UUID] = ()) -> Window | None:
    """Take out the next rows, of at most `window_rows` row numbers, of the upload that was asked for first.

    Args:
        engine: As the processor's role.
        window_rows: How many row numbers go in one transaction.
        left_out: Uploads that are not to be tried.

    Returns:
        None if nothing is to be undone, or others are at it.

    Raises:
        NotUndone: the database refuses that of this upload; nothing has happened.
        sqlalchemy.exc.DBAPIError: the database is away; the same.
    """
    due = None
    try:
        with engine.begin() as connection:
            connection.execute(_LIMIT_WAITING)
            due = connection.execute(_TAKE, {"left_out": list(left_out)}).one_or_none()
            if due is None:
                return None
            window, total = _undo(connection, due, window_rows)
    except Exception as error:
        if due is None or concerns_everybody(error):
            raise
        raise NotUndone(due.id, f"table {due.table_name}, {reason_of(error)}") from error
    UNDONE_RECORDS.labels(due.record_type).inc(window.rows)
    if window.finished:
        log.info("a cancelled upload's rows were taken out again", upload_id=str(due.id), rows=total)
    return window


def _undo(connection: Connection, due: Any, window_rows: int) -> tuple[Window, int]:
    if due.undone_to == 0:
        connection.execute(_SUMMARIZE, {"table_name": due.table_name})
    up_to = due.undone_to + window_rows
    rows = _delete(connection, due.table_name, due.id, after=due.undone_to, up_to=up_to)
    finished = up_to >= (due.last_row or 0)
    facts = {"rows": rows, "up_to": up_to, "finished": finished, "id": due.id}
    total: int = connection.execute(_NOTE, facts).scalar_one()
    return Window(due.id, rows, finished), total


def _delete(connection: Connection, table: str, upload_id: UUID, *, after: int, up_to: int) -> int:
    find_rows_by_upload(connection)
    statement = sql.SQL(_DELETE).format(sql.Identifier(table))
    return driver(connection).execute(statement, (upload_id, after, up_to)).rowcount
