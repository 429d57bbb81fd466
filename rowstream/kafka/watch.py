"""Notices a consumer that stands still while its logs move.

A broker that lost its log comes back with topics of the same names that are not the same: a client can go on asking for
an offset, or a topic id, that is no more, and is told nothing for ever. Seen with an embedded broker that was killed;
the cure is a new client, that is, a new process. That a log's end differs from where the reader stands says nothing by
itself: there are logs that end in something no reader gets (transaction markers).
"""

from collections.abc import Callable, Mapping

Place = tuple[str, int]
"""Topic and partition."""
View = Mapping[Place, tuple[int, int]]
"""Of each partition: where the reader stands, and where the log ends."""

_LOOK_SECONDS = 5.0


class Watch:
    """When to look, and what to make of it; asks nobody itself."""

    def __init__(self, *, clock: Callable[[], float], seconds: float = _LOOK_SECONDS) -> None:
        self._clock, self._seconds = clock, seconds
        self._since = clock()
        self._first: dict[Place, tuple[int, int]] = {}
        self._suspected: set[Place] = set()

    def wants_a_look(self, *, received: bool) -> bool:
        """Whether nothing has come for so long that a look at the logs' ends is due."""
        now = self._clock()
        if received:
            self._since = now
            self._suspected.clear()
            return False
        if now - self._since < self._seconds:
            return False
        self._since = now
        return True

    def is_stuck(self, view: View) -> bool:
        """Whether a log's end has moved, as two looks on end say, and its reader has not since then."""
        suspected = set()
        for place, (position, end) in view.items():
            first = self._first.setdefault(place, (position, end))
            if position != first[0] or position == end:
                self._first[place] = (position, end)
            elif end != first[1]:
                suspected.add(place)
        stuck = suspected & self._suspected
        self._suspected = suspected - stuck
        for place in stuck:
            del self._first[place]
        return bool(stuck)
