"""Ends a process whose wall clock was set back, since the Kafka client's waits are timed by that clock.

librdkafka waits for its queues until a moment of the wall clock (its issue 2145). Set back by an hour, a wait of a
tenth of a second lasts an hour, in its own threads as well as in those that call it: nothing is sent, no heartbeat goes
out, and nobody is told. All state is in Postgres, so another process is the cure, as for a client that was left behind.
A clock that is moved little by little, or forward, does no harm.
"""

import os
import threading
import time

from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

SET_BACK = "the clock was set back, by which the Kafka client waits; ending, to be started again"
"""What is logged before the process ends."""
TOLERATED_SECONDS = 2.0
_LOOK_SECONDS = 0.5


class WallClock:
    """Tells by how much the wall clock was set back between two looks; asks no clock itself."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._ahead = wall - monotonic

    def set_back(self, wall: float, monotonic: float) -> float:
        """Seconds by which it was set back since the last look; negative if it was set forward."""
        before, self._ahead = self._ahead, wall - monotonic
        return before - self._ahead


def end_process() -> None:
    """End this process without leaving its groups: the embedded broker, which loses logs, would let nobody in again."""
    os._exit(1)


def watch_clock() -> None:
    """Watch the wall clock for the rest of this process's life; asked again, do nothing more."""
    with _lock:
        if not any(thread.name == _NAME for thread in threading.enumerate()):
            threading.Thread(target=_watch, name=_NAME, daemon=True).start()


_NAME = "wall clock"
_lock = threading.Lock()


def _watch() -> None:
    clock = WallClock(time.time(), time.monotonic())
    never = threading.Event()
    while True:
        never.wait(_LOOK_SECONDS)  # not sleep, which fails under a false clock, as tests have one
        seconds = clock.set_back(time.time(), time.monotonic())
        if seconds > TOLERATED_SECONDS:
            log.critical(SET_BACK, seconds=round(seconds, 1))
            end_process()
