"""Notices a consumer that stands still though there is something to read.

A broker that lost its log comes back with topics of the same names that are not the same: a client can go on asking for
an offset, or a topic id, that is no more, and is told nothing for ever. Seen with an embedded broker that was killed;
the cure is a new client. What it stands before is remembered, since there are logs that end in something no reader gets
(transaction markers), and one look at these is enough.
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
        self._seen: View = {}
        self._known: View = {}

    def wants_a_look(self, *, received: bool) -> bool:
        """Whether nothing has come for so long that a look at the logs' ends is due."""
        now = self._clock()
        if received:
            self._since, self._seen = now, {}
            return False
        if now - self._since < self._seconds:
            return False
        self._since = now
        return True

    def is_stuck(self, view: View) -> bool:
        """Whether some partition was at two looks on end at the same place, and not at its log's end."""
        waiting = {place: at for place, at in view.items() if at[0] != at[1]}
        stuck = {
            place: at
            for place, at in waiting.items()
            if place in self._seen and self._seen[place][0] == at[0] and self._known.get(place) != at
        }
        self._seen = waiting
        if stuck:
            self._known, self._seen = {**self._known, **waiting}, {}
        return bool(stuck)
