"""A record processor that knows the announced type of the tests; run it as a program, so that it can die.

Arguments: the addresses of the database and the broker, and after which step it kills itself.
"""

import os
import signal
import sys
import time
from functools import cache

from rowstream.records import registry
from rowstream.runtime.logging import configure_logging
from rowstream.runtime.steps import Step, observe
from tests.announced import TYPES
from tests.services import processing


def main(url: str, broker: str, last: str) -> None:
    """Work until killed."""
    configure_logging("announcer")
    registry.record_types = cache(lambda: TYPES)

    def die(step: Step) -> None:
        if step.value == last:
            os.kill(os.getpid(), signal.SIGKILL)

    observe(die)
    with processing(url, broker):
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
