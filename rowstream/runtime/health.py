"""Health of a service: alive, ready, and if not, what it waits for; and what it can do without for a while.

A service names what must be there (`expect`) and says when it is (`ok`) or is not (`waiting`). Liveness is that the
main loop came round lately: `beat` is called at each turn, and a loop that is stuck for `stuck_after` seconds is dead.
"""

import threading
import time
from collections.abc import Callable

from rowstream.runtime.metrics import DEGRADED, WAITING


class Health:
    """What a service waits for; safe to use from every thread."""

    def __init__(self, *expected: str, stuck_after: float = 120.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, str] = dict.fromkeys(expected, "not there yet")
        self._degraded: dict[str, str] = {}
        self._clock = clock
        self._stuck_after = stuck_after
        self._last_beat = clock()
        for what in expected:
            WAITING.labels(what).set(1)

    def ok(self, what: str) -> None:
        """`what` is there."""
        with self._lock:
            self._waiting.pop(what, None)
            WAITING.labels(what).set(0)

    def waiting(self, what: str, why: str) -> bool:
        """`what` is not there (any more), and why; True if that is news."""
        with self._lock:
            is_news = self._waiting.get(what) != why
            self._waiting[what] = why
            WAITING.labels(what).set(1)
        return is_news

    def degraded(self, what: str, why: str | None) -> None:
        """`what` is not as it should be (None: it is again), and the service goes on without it, ready as it is."""
        with self._lock:
            if why is None:
                self._degraded.pop(what, None)
            else:
                self._degraded[what] = why
            DEGRADED.labels(what).set(0 if why is None else 1)

    def beat(self) -> None:
        """The main loop came round."""
        self._last_beat = self._clock()

    @property
    def alive(self) -> bool:
        """Whether the main loop came round lately."""
        return self._clock() - self._last_beat < self._stuck_after

    @property
    def waiting_for(self) -> list[str]:
        """What is not there, with the reason; empty when the service is ready."""
        with self._lock:
            return [f"{what}: {why}" for what, why in sorted(self._waiting.items())]

    @property
    def going_without(self) -> list[str]:
        """What the service goes on without, with what that means."""
        with self._lock:
            return [f"{what}: {why}" for what, why in sorted(self._degraded.items())]
