"""Counts the seconds that each stage of a batch takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rowstream.runtime.metrics import BATCH_STAGE_DURATION


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Inside is this stage."""
    started = time.monotonic()
    yield
    BATCH_STAGE_DURATION.labels(name).inc(time.monotonic() - started)
