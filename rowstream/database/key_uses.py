"""When and from where keys were last used: noted in memory at each request, written later and once a minute at most.

So no request waits for it, a busy key costs one small UPDATE a minute, and a crash loses at most the last minute.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from rowstream.database.connection import retryable_errors

EVERY_SECONDS = 60.0
_WRITE = text("""
    UPDATE api_keys
    SET last_used_at = clock_timestamp() - make_interval(secs => :seconds_ago), last_used_from = :address
    WHERE id = :key_id
      AND (last_used_at IS NULL OR last_used_at <= clock_timestamp() - make_interval(secs => :seconds_ago + :every))
""")


@dataclass(frozen=True, slots=True)
class _Use:
    at: float
    address: str | None


class KeyUses:
    """The last use of each key that is not written yet; holds one entry a key, however often it is used."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[UUID, _Use] = {}
        self._written: dict[UUID, float] = {}

    def note(self, key_id: UUID, address: str | None) -> None:
        """A key was used just now; does not touch the database."""
        with self._lock:
            self._noted[key_id] = _Use(self._clock(), address)

    def write(self, engine: Engine) -> int:
        """Write what was noted of keys that nothing was written of for a minute; returns how many.

        `engine` acts as the role of keys. Other gateways do the same: the later of two within a minute is left out.

        Raises:
            Retryable: the database does not answer; what was noted is kept.
        """
        due = self._due()
        if not due:
            return 0
        now = self._clock()
        rows = [
            {"key_id": key_id, "seconds_ago": now - use.at, "address": use.address, "every": EVERY_SECONDS}
            for key_id, use in sorted(due.items())  # in one order, so that two gateways never wait for each other
        ]
        with retryable_errors(), engine.begin() as connection:
            connection.execute(_WRITE, rows)
        with self._lock:
            for key_id, use in due.items():
                self._written[key_id] = now
                if self._noted.get(key_id) is use:
                    del self._noted[key_id]
        return len(due)

    def _due(self) -> dict[UUID, _Use]:
        with self._lock:
            before = self._clock() - EVERY_SECONDS
            self._written = {key_id: at for key_id, at in self._written.items() if at > before}
            return {key_id: use for key_id, use in self._noted.items() if key_id not in self._written}
