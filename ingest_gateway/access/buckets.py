"""Token buckets, decided by the generic cell rate algorithm (GCRA), and kept in memory.

A bucket is one number, its debt: the seconds until it is full again. A request adds the time that one token takes to
come back and is refused if the debt would exceed the whole bucket. So a bucket costs the same whatever its limit, an
idle one is as good as none, and two gateways agree by sharing one number. Source: ITU-T I.371, annex A.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_minute` tokens a minute, and at most those of `burst_seconds` (one at least) at once."""

    name: str
    per_minute: int
    burst_seconds: float

    @property
    def interval(self) -> float:
        """Seconds in which one token comes."""
        return 60 / self.per_minute

    @property
    def capacity(self) -> int:
        """Tokens in a full bucket."""
        return max(1, math.floor(self.per_minute * self.burst_seconds / 60))

    @property
    def window(self) -> float:
        """Seconds in which an empty bucket becomes full; `capacity` tokens in each are never refused."""
        return self.capacity * self.interval


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request got its token, and the bucket's debt in seconds after it."""

    limit: Limit
    allowed: bool
    debt: float

    @property
    def remaining(self) -> int:
        """Tokens that are left now."""
        return max(0, math.floor((self.limit.window - self.debt) / self.limit.interval + 1e-6))

    @property
    def retry_after(self) -> float:
        """Seconds until the next token is there; 0 if one is."""
        return max(0.0, self.debt + self.limit.interval - self.limit.window)


def decide(limit: Limit, debt: float) -> Verdict:
    """Take a token from a bucket with this debt, if there is one."""
    after = debt + limit.interval
    if after > limit.window + 1e-9:
        return Verdict(limit, allowed=False, debt=debt)
    return Verdict(limit, allowed=True, debt=after)


class Buckets:
    """The buckets of one process, at most so many; safe to use from several threads, and never waits.

    A bucket that is forgotten is a full one when it is met again.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: str, limit: Limit) -> Verdict:
        """Take a token from the bucket of this name."""
        with self._lock:
            now = self._clock()
            verdict = decide(limit, self._debt(name, now))
            if verdict.allowed:
                self._put(name, now + verdict.debt)
            return verdict

    def look(self, name: str, limit: Limit) -> Verdict:
        """What `take` would say of the next request, taking nothing; the debt is the present one."""
        with self._lock:
            debt = self._debt(name, self._clock())
        return Verdict(limit, allowed=decide(limit, debt).allowed, debt=debt)

    def give_back(self, name: str, limit: Limit) -> None:
        """Put a token back that was taken from the bucket of this name; a full one stays full."""
        with self._lock:
            now = self._clock()
            self._put(name, now + max(0.0, self._debt(name, now) - limit.interval))

    def learn(self, name: str, debt: float) -> None:
        """Take over a debt that is known from elsewhere, unless the one known here is larger."""
        with self._lock:
            now = self._clock()
            self._put(name, now + max(debt, self._debt(name, now)))

    def _debt(self, name: str, now: float) -> float:
        return max(0.0, self._full_at.get(name, 0.0) - now)

    def _put(self, name: str, full_at: float) -> None:
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
