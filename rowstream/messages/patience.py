"""How long a process waits for schemas that nobody has registered."""

import math
import time
from collections.abc import Callable

SCHEMA_SECONDS = 30.0
"""How long it waits where no setting says otherwise."""
_REST_SECONDS = 600.0


class SchemaPatience:
    """One wait for all unknown schemas together, and then none for ten minutes, so that no sender holds a process back.

    A service registers its schemas before it writes by them. So a reader that cannot find one has a foreign message in
    hand, or reads from a database that lags for a moment; and what that moment brings, it brings for all.

    What is put aside early is not lost. An upload that no splitter noted is announced again by the reconciler, and
    results are folded from the ledger. A chunk's records are counted as unprocessed, and its upload is tried again from
    the stored file. Who asked for an upload by Kafka is told that it was refused.
    """

    def __init__(self, seconds: float = SCHEMA_SECONDS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._ends = -math.inf

    def is_over(self) -> bool:
        """Whether a message whose schema is unknown counts as unreadable by now; the wait begins with the first."""
        now = self._clock()
        if now >= self._ends + _REST_SECONDS:
            self._ends = now + self._seconds
        return now >= self._ends
