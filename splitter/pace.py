"""How many chunks of an upload may be on their way: as many as settle in a given time.

Whoever comes later waits behind what is on its way already, in the same partitions and in the processors' batches. So
a window counted in chunks is a matter of seconds on a fast system and of a minute on a slow one; counted in time it is
the same everywhere. If processors could do more, what was sent settles faster than in that time, and the window grows;
if they slow down, it shrinks.

Idea: Little's law (1961), used as window flow control as in TCP Vegas (Brakmo and Peterson 1995).
"""

from collections import deque

_LEAST_CHUNKS = 16
_LOOK_BACK_SECONDS = 3.0
_SHORTEST_SECONDS = 0.25


class Pace:
    """Counts what settles; asks no clock itself."""

    def __init__(self, *, seconds: float, now: float) -> None:
        """`seconds`: how long what is on its way should take to settle."""
        self._seconds = seconds
        self._settled: deque[tuple[float, int]] = deque([(now, 0)])

    def settled(self, chunks: int, now: float) -> None:
        """So many chunks have settled since the last call."""
        self._settled.append((now, self._settled[-1][1] + chunks))
        while self._settled[1][0] <= now - _LOOK_BACK_SECONDS and self._settled[1] is not self._settled[-1]:
            self._settled.popleft()

    @property
    def chunks(self) -> int:
        """How many chunks may be on their way."""
        (since, before), (now, after) = self._settled[0], self._settled[-1]
        a_second = (after - before) / max(now - since, _SHORTEST_SECONDS)
        return max(_LEAST_CHUNKS, round(a_second * self._seconds))
