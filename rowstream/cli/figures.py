"""What a progress bar says of an upload, computed from what the API says of it. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENDED = frozenset({"completed", "needs_review", "failed", "cancelled"})
"""Statuses in which nothing moves any more without somebody's doing."""
SUCCEEDED = frozenset({"completed", "needs_review"})

_WINDOW_SECONDS = 10.0
_FAIR_SAMPLE = 0.5


@dataclass(frozen=True)
class Figures:
    """Where an upload stands.

    Attributes:
        status: as the API names it.
        size: of the file, in bytes.
        read: bytes of it that were read so far.
        split: records found so far.
        loaded: records that are rows now.
        rejected: records that were refused.
        done: records that have their outcome, whichever.
        expected: records in the file; estimated from what was read until it was read to its end; None before that.
    """

    status: str
    size: int
    read: int
    split: int
    loaded: int
    rejected: int
    done: int
    expected: int | None


def figures(upload: Mapping[str, Any]) -> Figures:
    """The figures of an upload as the API shows it."""
    size, read = upload["size_bytes"] or 0, upload["bytes_read"]
    # What the splitter says of itself may be older than what the auditor says of its chunks.
    split = max(upload["records_split"], upload["processed_records"])
    expected = upload["total_records"]
    if expected is None and read and split:
        expected = max(split, round(split * size / read))
    return Figures(
        status=upload["status"],
        size=size,
        read=read,
        split=split,
        loaded=upload["succeeded_records"],
        rejected=upload["failed_records"],
        done=upload["processed_records"],
        expected=expected,
    )


class Stillness:
    """For how long something has not changed; the time is passed in, in seconds of any clock that rises."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = 0.0

    def saw(self, now: float, state: object) -> float:
        """It is so at the time `now`; returns the seconds for which it has been."""
        if state != self._last:
            self._last, self._since = state, now
        return now - self._since


class Speed:
    """How fast a number grows, by its last ten seconds; the time is passed in, in seconds of any clock that rises."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, now: float, done: int) -> None:
        """The number is `done` at the time `now`. What was waited before it first moved says nothing of its speed."""
        if len(self._seen) == 1 and self._seen[0][1] == done:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _WINDOW_SECONDS:
            self._seen.popleft()

    def per_second(self) -> float | None:
        """Its growth a second; None as long as too little was seen to tell."""
        if not self._seen:
            return None
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end - begin >= _FAIR_SAMPLE else None

    def seconds_left(self, remaining: int) -> float | None:
        """Seconds until `remaining` more are done; None if nobody can tell."""
        speed = self.per_second()
        return remaining / speed if speed else None
