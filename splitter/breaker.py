"""A breaker between the slots and an object store that is away: while it is, no upload is taken, and none fails for it.

A read that failed says little: the cause may be this one object. So the store itself is asked, and only where that is
not answered either its bucket counts as away. What is being read of it is let go of then, so that a splitter which does
reach the store may take it; nobody takes more of it here until the store answers a probe.

Idea: the circuit breaker (Nygard 2007), with a probe that costs no upload a try.
"""

import random
import threading
from collections.abc import Callable, Mapping

from rowstream.errors import Retryable
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import StoreUnavailable

log = get_logger(__name__)

PART = "storage"
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 5.0
_DOUBLINGS = 8  # more change nothing


class StoreAway(Retryable):
    """The store does not answer for anything of this bucket: let go of the upload, which has used up no try."""


def pause_before(probe: int, chance: float) -> float:
    """Seconds to wait before the next probe, after so many in a row without an answer; pure.

    `chance`, from 0 to 1, takes away up to half, so that many splitters do not ask all at once.
    """
    return min(_FIRST_SECONDS * 2.0 ** min(probe, _DOUBLINGS), _LONGEST_SECONDS) * (1 - chance / 2)


class StoreBreaker:
    """Which buckets are away, shared by all slots of a splitter; for use by several threads."""

    def __init__(self, store: S3Store, health: Health, on_answer: Callable[[], None]) -> None:
        """`on_answer` is called when a bucket that was away is there again."""
        self._store, self._health, self._on_answer = store, health, on_answer
        self._away: Mapping[str, str] = {}  # with the reason; replaced, never changed
        self._asking, self._noting = threading.Lock(), threading.Lock()

    @property
    def away(self) -> list[str]:
        """The buckets of which nothing may be taken now."""
        return sorted(self._away)

    def check(self, bucket: str) -> None:
        """Something of the bucket could not be read: ask whether that is the store's fault.

        Raises:
            StoreAway: it does not answer.
        """
        with self._asking:  # of many that fail at once the first one asks
            if bucket not in self._away:
                self._note(bucket, self._ask(bucket))
            reason = self._away.get(bucket)
        if reason is not None:
            raise StoreAway(reason)

    def watch(self, stop: threading.Event) -> None:
        """Ask for what is away until `stop`; run it in a thread of its own."""
        unanswered = 0
        while not stop.wait(pause_before(unanswered, random.random())):  # noqa: S311 - no secret
            for bucket in self.away:
                self._note(bucket, self._ask(bucket))
            unanswered = unanswered + 1 if self._away else 0

    def _ask(self, bucket: str) -> str | None:
        """Why there is no answer; None if there is one."""
        try:
            self._store.probe.ask(bucket)
        except StoreUnavailable as error:
            return str(error)
        return None

    def _note(self, bucket: str, reason: str | None) -> None:
        with self._noting:
            was_away = bucket in self._away
            others = {name: why for name, why in self._away.items() if name != bucket}
            self._away = others if reason is None else {**others, bucket: reason}
            if self._away:
                self._health.waiting(PART, "; ".join(self._away[name] for name in self.away))
            elif was_away:
                self._health.ok(PART)
        if reason is not None and not was_away:
            log.warning("the object store is away: uploads wait", bucket=bucket, reason=reason)
        elif reason is None and was_away:
            log.info("the object store answers again", bucket=bucket)
            self._on_answer()
