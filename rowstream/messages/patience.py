"""How long a message is waited for whose schema nobody has registered yet."""

import time
from collections.abc import Callable

from rowstream.messages.codec import UnknownSchema

_REMEMBERED = 1_000


class SchemaPatience:
    """Counts from when a schema was first met, so that a thousand messages of one schema are waited for once."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._first_met: dict[bytes, float] = {}

    def is_over(self, error: UnknownSchema) -> bool:
        """Whether this schema was waited for long enough, so that its messages count as unreadable."""
        now = self._clock()
        if len(self._first_met) >= _REMEMBERED and error.fingerprint not in self._first_met:
            del self._first_met[next(iter(self._first_met))]
        return now - self._first_met.setdefault(error.fingerprint, now) >= self._seconds
