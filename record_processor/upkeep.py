"""What a record processor looks after by the clock, beside its chunks: in a thread and with connections of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rowstream.database.connection import retryable_errors
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger, traced

log = get_logger(__name__)

Task = Callable[[], object]
"""Does a little of something; says by a true value that there may be more to do at once."""

_IDLE_SECONDS = 1.0
_JOIN_SECONDS = 10.0


@contextmanager
def in_background(stop: threading.Event, *tasks: Task) -> Iterator[None]:
    """Inside, do these again and again; leaving sets `stop`, and waits until what was begun is done."""
    thread = threading.Thread(target=look_after, args=(stop, *tasks), name="upkeep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_SECONDS)


def look_after(stop: threading.Event, *tasks: Task) -> None:
    """Do each in turn until `stop`, at once again while one has more to do, else after a second."""
    while not stop.is_set():
        busy = [_done(task) for task in tasks]
        if not any(busy):
            stop.wait(_IDLE_SECONDS)


def _done(task: Task) -> bool:
    """What the task says; an error is logged, costs only this turn, and the other tasks nothing."""
    try:
        with retryable_errors():
            return bool(task())
    except Retryable as error:
        log.warning("upkeep waits", reason=str(error))
    except Exception as error:  # noqa: BLE001 - nobody would notice a thread that ended
        log.error("upkeep failed", **traced(error))  # noqa: TRY400 - a text may hold a cell; `traced` leaves it out
    return False
