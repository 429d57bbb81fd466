"""`python -m tests.servers.fetch`: what tests need beside Python's packages is fetched and built, before any of them.

A build takes a minute on an idle machine and many on one that runs tests as well, which is longer than a test may take.
What is missing here is said; the tests that need it skip, or fail in CI, and say so again.
"""

import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from tests.servers.tools import (
    KAFKA_VERSION,
    TOXIPROXY,
    VERSITYGW,
    faketime_library,
    go_program,
    kafka_jars,
)

_PROGRAMS: Mapping[str, Callable[[], object]] = MappingProxyType(
    {
        f"Apache Kafka {KAFKA_VERSION}": kafka_jars,
        "versitygw": lambda: go_program(VERSITYGW, "versitygw"),
        "toxiproxy": lambda: go_program(TOXIPROXY, "server"),
        "libfaketime": faketime_library,
    }
)
_WORTH_SAYING_SECONDS = 1.0


def main() -> None:
    """Fetch all; a line for each that took a while or cannot be had."""
    for name, fetch in _PROGRAMS.items():
        began = time.monotonic()
        try:
            fetch()
        except (pytest.skip.Exception, pytest.fail.Exception, AssertionError) as reason:
            _say(f"{name}: {reason}")
        else:
            seconds = time.monotonic() - began
            if seconds > _WORTH_SAYING_SECONDS:
                _say(f"{name}: fetched in {seconds:.0f} s")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
