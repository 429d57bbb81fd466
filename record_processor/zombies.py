"""Ends a session of ours that holds what we wait for and does not move: a processor that was stopped or cut off.

Such a session keeps its locks, whatever time-outs say, and its successor would wait for ever: for a lane, or for a key
that it has put into a table and not committed. Ending it is safe: its transaction is rolled back, and nothing of it has
happened.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, exc, text

from rowstream.database.connection import first_line
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

SERVICE = "record-processor"
_LOOKS = 10  # in the time of the patience
_END = text("""
    SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY (pg_blocking_pids(:waiting)) AND application_name = :ours AND EXISTS (
        SELECT FROM pg_locks
        WHERE pid = :waiting AND NOT granted AND waitstart < clock_timestamp() - make_interval(secs => :seconds)
    )
""")


class Patience:
    """Waits with each transaction, and after a while ends what it waits for."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """`engine` connects as the login itself, which may end its own sessions."""
        self._engine, self._seconds = engine, seconds

    @contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Inside, this transaction may wait for locks: what is in its way for too long is ended.

        A stranger's session is never ended; there the wait itself has a limit, of twice the patience.
        """
        limit = f"{int(self._seconds * 2_000)}ms"
        waiting = connection.execute(
            text("SELECT pg_backend_pid() FROM set_config('lock_timeout', :limit, true)"), {"limit": limit}
        ).scalar_one()
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(waiting, done), name="patience", daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()

    def _watch(self, waiting: int, done: threading.Event) -> None:
        # The first look comes late, since nearly every transaction is over long before.
        pause = self._seconds
        while not done.wait(pause):
            self._end_what_blocks(waiting)
            pause = self._seconds / _LOOKS

    def _end_what_blocks(self, waiting: int) -> None:
        facts = {"waiting": waiting, "ours": f"rowstream-{SERVICE}", "seconds": self._seconds * (1 - 1 / _LOOKS)}
        try:
            with self._engine.begin() as connection:
                for pid, _ in connection.execute(_END, facts):
                    log.warning("ended a session that was in the way", pid=pid)
        except exc.SQLAlchemyError as error:
            log.warning("could not end a session that is in the way", reason=first_line(error))
