"""Follows what is asked of uploads within a second: paused, going on, cancelled, tried again.

Woken by the gateway's NOTIFY and by a look every second. Several auditors may do it at once: the upload's row is locked
and its status is read again under the lock. What is missed here, the reconciler finds.
"""

import threading

from sqlalchemy import Connection, Engine, text

from auditor import closing, projection, wishes
from auditor.patience import DATABASE_AWAY
from rowstream.database.connection import driver, first_line, retryable_errors
from rowstream.database.control import CHANNEL
from rowstream.errors import Retryable
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 1.0


class Control:
    """Makes uploads follow; `look` does it once, `run` until asked to stop."""

    def __init__(self, engine: Engine, health: Health) -> None:
        self._engine, self._health = engine, health

    def run(self, stop: threading.Event) -> None:
        """Look whenever something is asked, and every second; a database that goes away is waited for."""
        while not stop.is_set():
            try:
                with retryable_errors(), self._engine.connect() as connection:
                    self._follow(connection.execution_options(isolation_level="AUTOCOMMIT"), stop)
            except Retryable as error:
                self._health.waiting("database", first_line(error))
            except Exception:  # the next turn tries again, and results are folded meanwhile
                log.exception("what is asked of uploads could not be followed")
            stop.wait(_LOOK_SECONDS)

    def look(self) -> None:
        """Make every upload follow of which something is asked that has not come about.

        Raises:
            sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError: the database is away.
        """
        with self._engine.connect() as connection:
            due = wishes.not_followed(connection)
        for owned in due:
            try:
                with self._engine.begin() as connection:
                    folded = projection.fold(connection, (), [owned])
            except DATABASE_AWAY as error:
                log.info("upload does not follow yet", upload_id=str(owned[0]), reason=first_line(error))
            else:
                projection.count(folded)
                closing.after(self._engine, folded)

    def _follow(self, listener: Connection, stop: threading.Event) -> None:
        listener.execute(text(f"LISTEN {CHANNEL}"))
        while not stop.is_set():
            self.look()
            self._health.ok("database")
            for _ in driver(listener).notifies(timeout=_LOOK_SECONDS, stop_after=1):
                pass
