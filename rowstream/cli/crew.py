"""Some threads that do the same for many numbers, until one of them fails or somebody presses Ctrl-C."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

Task = Callable[[int, "httpx.Client", Callable[[], None]], None]
"""Does something for a number by a client of its own; calls the last argument often, which raises once it must stop."""

AT_ONCE = 4
_TIMEOUT = 60.0
_LOOK_SECONDS = 0.2


class _Stopped(Exception):
    """Another one has failed, or somebody pressed Ctrl-C."""


class Crew:
    """Threads that do a task for one number after the other.

    They are the process's to end: after Ctrl-C it leaves without waiting for a server that does not answer.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._left: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._failures: list[Exception] = []

    def run(self, numbers: Sequence[int]) -> None:
        """Do it for all numbers; raises what the first that fails raised, and stops the others."""
        for number in numbers:
            self._left.put(number)
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(AT_ONCE, len(numbers)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
        finally:
            self._stop.set()
        if self._failures:
            raise self._failures[0]

    def _work(self) -> None:
        import httpx  # noqa: PLC0415 - only commands that talk to a system pay for it

        try:
            # Another client than the API's: the store must not see the API key.
            with httpx.Client(timeout=_TIMEOUT) as client:
                while not self._stop.is_set():
                    self._task(self._left.get_nowait(), client, self._going_on)
        except (queue.Empty, _Stopped):
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where `run` was called
            self._failures.append(error)
            self._stop.set()

    def _going_on(self) -> None:
        if self._stop.is_set():
            raise _Stopped
