"""Leaves out for a while what failed lately, so that it holds up nothing that comes after it. Knows no database."""

import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_FIRST_SECONDS = 1.0


@dataclass
class _Failing:
    why: str
    since: float
    until: float
    pause: float


class Backoff(Generic[K]):
    """What failed, each with a pause that doubles; kept in memory only, so another process begins anew."""

    def __init__(
        self, *, longest_seconds: float = 300.0, most: int = 5_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """At most so many are remembered: for one more, that is forgotten whose pause ends first."""
        self._longest, self._most, self._clock = longest_seconds, most, clock
        self._failing: dict[K, _Failing] = {}

    @property
    def is_full(self) -> bool:
        """Whether as many failed as may be remembered, so that not all that fail are left out."""
        return len(self._failing) >= self._most

    def failed(self, key: K, why: str) -> float:
        """This one failed (again), and why; returns the seconds for which it is left out."""
        now, before = self._clock(), self._failing.pop(key, None)
        if self.is_full:
            del self._failing[min(self._failing, key=lambda one: self._failing[one].until)]
        pause = min(before.pause * 2, self._longest) if before else _FIRST_SECONDS
        self._failing[key] = _Failing(why, before.since if before else now, now + pause, pause)
        return pause

    def done(self, key: K) -> None:
        """This one got on."""
        self._failing.pop(key, None)

    def left_out(self) -> list[K]:
        """Those whose pause is not over."""
        now = self._clock()
        return [key for key, failing in self._failing.items() if failing.until > now]

    def forget_all_but(self, left_out: Collection[K]) -> None:
        """Nothing was left to do but what was left out: all others were done by somebody else."""
        self._failing = {key: failing for key, failing in self._failing.items() if key in left_out}

    def failing_for(self, seconds: float) -> list[tuple[K, str]]:
        """Those that have failed for so long without getting on, with why they did last; the longest first."""
        now = self._clock()
        old = [(failing.since, key, failing.why) for key, failing in self._failing.items()]
        old = [one for one in sorted(old, key=lambda one: one[0]) if now - one[0] >= seconds]
        return [(key, why) for _, key, why in old]
