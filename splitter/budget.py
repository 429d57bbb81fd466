"""What the uploads that a splitter has in hand may hold together, and what each may.

All share one number of bytes, so that a splitter's memory does not follow the number of its uploads; and each may have
only so many chunks on their way that no other's wait long behind them. Whoever holds nothing may always hold a chunk:
an upload gets on, be it slowly, whatever the others do.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from rowstream.runtime.metrics import CHUNKS_IN_FLIGHT

T = TypeVar("T")
_LEAST_CHUNKS = 4
_LEAST_BLOCK = 1 << 20
_READING_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Held:
    """What an upload holds: chunks that have no ledger row yet, and their bytes, with those of copies under way."""

    chunks: int
    bytes: int


def may_hold_more(own: Held, everybody: int, uploads: int, *, max_chunks: int, max_bytes: int) -> bool:
    """Whether an upload may send one more chunk; pure.

    Args:
        own: What it holds.
        everybody: Bytes that all hold together.
        uploads: How many there are.
        max_chunks: Of one upload that is alone.
        max_bytes: Of all together; what one chunk more takes may come on top.
    """
    if own.chunks == 0:
        return True
    chunks = max(_LEAST_CHUNKS, max_chunks // uploads)
    return own.chunks < chunks and own.bytes < max_bytes // uploads and everybody < max_bytes


class Budget:
    """The bytes and chunks that all uploads of a splitter share; for use by several threads."""

    def __init__(self, *, max_chunks: int, max_bytes: int) -> None:
        self._max_chunks, self._max_bytes = max_chunks, max_bytes
        self._held: dict[Share, Held] = {}
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(_READING_AT_ONCE, thread_name_prefix="reader")

    def read(self, step: Callable[[], T]) -> T:
        """Do `step` in one of the threads that read; what it raises is raised here."""
        return self._readers.submit(step).result()

    @property
    def uploads(self) -> int:
        """How many share it now."""
        return len(self._held)

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One upload's part, while inside."""
        share = Share(self)
        with self._lock:
            self._held[share] = Held(0, 0)
        try:
            yield share
        finally:
            with self._lock:
                del self._held[share]
                self._measure()

    def note(self, share: "Share", own: Held) -> None:
        """An upload holds so much now."""
        with self._lock:
            self._held[share] = own
            self._measure()

    def may_hold_more(self, share: "Share") -> bool:
        """Whether an upload may send one more chunk."""
        with self._lock:
            everybody = sum(held.bytes for held in self._held.values())
            return may_hold_more(
                self._held[share],
                everybody,
                len(self._held),
                max_chunks=self._max_chunks,
                max_bytes=self._max_bytes,
            )

    def _measure(self) -> None:
        CHUNKS_IN_FLIGHT.set(sum(held.chunks for held in self._held.values()))


class Share:
    """What one upload may hold."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    @property
    def uploads(self) -> int:
        """How many uploads share the budget, this one included."""
        return self._budget.uploads

    @property
    def may_hold_more(self) -> bool:
        """Whether this upload may send one more chunk, after what it has noted."""
        return self._budget.may_hold_more(self)

    def note(self, own: Held) -> None:
        """This upload holds so much now."""
        self._budget.note(self, own)

    def read(self, step: Callable[[], T], size_bytes: int) -> T:
        """Read and cut a block of a file of that size, in one of a few threads that all uploads share.

        That takes several times the block's bytes, and an allocator keeps for each thread what it has once needed. A
        file of no more than a block need not wait for large ones.
        """
        return step() if size_bytes <= _LEAST_BLOCK else self._budget.read(step)

    def block_bytes(self, alone: int) -> int:
        """How much of a file to read at a time, where an upload that is alone reads `alone` bytes."""
        return min(alone, max(_LEAST_BLOCK, alone // self.uploads))
