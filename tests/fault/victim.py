"""A service that can be struck at one of its steps; run it as a program, with the service's module as its argument.

Runs the service's own `__main__`, unchanged, and watches its steps. A file of orders says at which step, the nth time
that it is taken, this process gets which signal, from itself and therefore exactly there. Whoever of several processes
comes first carries the order out. A negative control names a patch to be made first; no patch is ever in the product.
"""

from rowstream.runtime import imports  # noqa: F401 - before all else, as a service has it

# isort: split
import json
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg

from rowstream.runtime import steps
from rowstream.runtime.logging import get_logger

HALF_COPIED = "rows_half_copied"
"""A step of the tests' own: some of a batch's rows are on their way to the database."""

log = get_logger(__name__)


class Orders:
    """What this process was ordered to do at which step; the file is read again at every step."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._order: dict[str, Any] = {}
        self._seen = 0
        self._lock = threading.Lock()

    def at(self, step: str) -> None:
        """This step was taken; carry out what was ordered for it."""
        try:
            order = json.loads(self._file.read_text())
        except FileNotFoundError:
            return
        if order["step"] != step:
            return
        with self._lock:
            if order != self._order:
                self._order, self._seen = order, 0
            self._seen += 1
            if self._seen < order["nth"]:
                return
            try:
                self._file.rename(self._file.with_suffix(f".struck.{os.getpid()}"))
            except FileNotFoundError:
                return  # another process was first
        os.kill(os.getpid(), signal.Signals[order["signal"]])


def _watch_copies(orders: Orders) -> None:
    write = psycopg.Copy.write

    def watched(*args: Any, **facts: Any) -> None:
        write(*args, **facts)
        orders.at(HALF_COPIED)

    psycopg.Copy.write = watched  # type: ignore[method-assign]


def main(service: str) -> None:
    """Run the service."""
    orders = Orders(Path(os.environ["FAULT_ORDERS"]))
    steps.observe(lambda step: orders.at(step.value))
    _watch_copies(orders)
    if patch := os.environ.get("FAULT_PATCH"):
        runpy.run_path(patch)
    sys.argv = [service]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
