"""Waits for servers that are away, says so in the service's readiness, and gives up only when asked to stop."""

import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity
from sqlalchemy import exc

from rowstream.database.connection import first_line
from rowstream.errors import Retryable
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")
# InternalError is what the driver calls a session that the server ended since its transaction was idle (25P03).
DATABASE_AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
_FIRST_SECONDS, _MOST_SECONDS = 0.1, 5.0


class Stopping(Exception):
    """The service is asked to stop while it waits; what it was about to do is not done."""


class Patience:
    """Calls what may fail for now until it succeeds."""

    def __init__(self, health: Health, stop: threading.Event) -> None:
        self._health, self._stop = health, stop

    def until_done(self, what: str, attempt: Callable[[], T]) -> T:
        """The result of `attempt`; while it fails, readiness says that `what` is waited for.

        Raises:
            Stopping: the service is asked to stop.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Retryable, *DATABASE_AWAY)),
            wait=tenacity.wait_exponential_jitter(multiplier=_FIRST_SECONDS, max=_MOST_SECONDS, jitter=_FIRST_SECONDS),
            before_sleep=lambda state: self._tell(what, state),
            sleep=self._pause,
            reraise=True,
        )
        try:
            return retrying(attempt)
        finally:
            self._health.ok(what)

    def _tell(self, what: str, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = first_line(error) if error else "it fails"
        self._health.waiting(what, reason)
        log.warning("waiting", waits_for=what, reason=reason, tries=state.attempt_number)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopping
