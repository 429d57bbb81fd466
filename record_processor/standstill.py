"""Record types that stand still, since their table is not as it should be: missing, without a column, not granted.

That is nobody else's trouble, so nobody waits for it. What of them cannot be worked is dropped, as it is of a paused
upload; the ledger says that it is missing, and the splitter sends the first of each lane again and again. So nothing is
held here, no try is used up, and an upload goes on by itself when its table is back. The splitters are told, so that
such uploads do not take all of their slots.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from record_processor.reactions import concerns_a_table, reason_of
from rowstream.records import RecordType
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

AGAIN_SECONDS = 5.0
"""After which a chunk is tried once more: less than a splitter waits before it sends one again."""

_TOLD_SECONDS = 60.0
_FORGOTTEN_SECONDS = 120.0  # in which a lane that stands still was sent again several times, if anybody waits for it


class Unfit(Exception):
    """The record type's table cannot be used as it is; nothing of the chunks has happened. The cause says why."""


@contextmanager
def using_table_of(record_type: RecordType) -> Iterator[None]:
    """Inside, this record type's table is used, and nothing else that could be missing.

    Raises:
        Unfit: it is not as it should be. Whatever else is raised inside passes.
    """
    try:
        yield
    except Exception as error:
        if concerns_a_table(error):
            raise Unfit(record_type.table) from error
        raise


@dataclass
class _Entry:
    why: str
    failed_at: float
    told_at: float


class Standstill:
    """The record types that stand still; not for use by several threads at once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._shown: set[str] = set()

    @property
    def names(self) -> set[str]:
        """The record types whose chunks are not even tried now."""
        now = self._clock()
        return {name for name, entry in self._entries.items() if now - entry.failed_at < AGAIN_SECONDS}

    def begin(self, record_type: RecordType, error: Unfit) -> None:
        """A chunk of this type has just failed."""
        now, before = self._clock(), self._entries.get(record_type.name)
        reason = reason_of(error.__cause__ or error)
        told_at = before.told_at if before else -_TOLD_SECONDS
        if before is None or now - told_at >= _TOLD_SECONDS:
            log.warning(
                "a record type stands still", record_type=record_type.name, table=record_type.table, reason=reason
            )
            told_at = now
        why = (
            f"its table {record_type.table} cannot be used, {reason}: its uploads wait and all others go on; see"
            " `rowstream doctor`, and run `rowstream migrate`"
        )
        self._entries[record_type.name] = _Entry(why, now, told_at)

    def end(self, record_type: RecordType) -> bool:
        """A chunk of this type was worked; whether the type stood still until now."""
        stood_still = self._entries.pop(record_type.name, None) is not None
        if stood_still:
            log.info("a record type goes on", record_type=record_type.name)
        return stood_still

    def look(self) -> Iterator[tuple[str, str | None]]:
        """Each type that stands still, with why; and once each that does so no more, with None."""
        now = self._clock()
        for name in [name for name, entry in self._entries.items() if now - entry.failed_at >= _FORGOTTEN_SECONDS]:
            del self._entries[name]  # nobody waits for it any more, or another processor has its lanes
        yield from ((name, None) for name in sorted(self._shown - self._entries.keys()))
        yield from ((name, entry.why) for name, entry in self._entries.items())
        self._shown = set(self._entries)
