"""Ends a session of ours that holds a lane and does not move: a processor that was stopped or cut off.

Such a session keeps its locks, whatever time-outs say, and its successor would wait for ever. Ending it is safe: its
transaction is rolled back, and nothing of it has happened.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, exc, text

from rowstream.database.connection import first_line
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

SERVICE = "record-processor"
_END = text("""
    SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY (pg_blocking_pids(:waiting)) AND application_name = :ours
""")


class Patience:
    """Waits with each transaction, and after a while ends what it waits for."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """`engine` connects as the login itself, which may end its own sessions."""
        self._engine, self._seconds = engine, seconds

    @contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Inside, this transaction waits for locks: give that a limit, and end what is in the way before it."""
        milliseconds = int(self._seconds * 2_000)
        waiting = connection.execute(
            text("SELECT pg_backend_pid(), set_config('lock_timeout', :limit, true)"), {"limit": f"{milliseconds}ms"}
        ).scalar_one()
        timer = threading.Timer(self._seconds, self._end_what_blocks, [waiting])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_what_blocks(self, waiting: int) -> None:
        try:
            with self._engine.begin() as connection:
                for pid, _ in connection.execute(_END, {"waiting": waiting, "ours": f"rowstream-{SERVICE}"}):
                    log.warning("ended a session that held a lane", pid=pid)
        except (exc.DBAPIError, exc.TimeoutError) as error:
            log.warning("could not end a session that holds a lane", reason=first_line(error))
