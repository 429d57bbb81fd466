"""What is sent of an upload and has no ledger row yet, and what of it must go again.

Pure: the clock is passed in, sending is the caller's. A lane's chunks settle in order, so a lane is known by the
sequence number that it waits for (`next_seq`). Chunks that an earlier attempt left unprocessed lie before it; they go
again in a queue of their own beside each lane's, and each is known by its ledger row. Chunks go again for one of four
reasons:
- a processor met a gap: everything from `next_seq` on, once for each epoch in which it was sent;
- a delivery failed: likewise;
- the lane stands still: its first missing chunk alone, since the others may only be waiting in a long queue;
- that one chunk settled, and nothing behind it moved: the queue was lost, so all the rest.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from rowstream.messages.record_chunk import RecordChunk
from splitter.budget import Held

_NO_GAP = -1
_REJECTION_BYTES = 500  # what a rejection takes beside its texts


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane as the database has it."""

    lane: int
    next_seq: int
    gap_epoch: int


@dataclass(slots=True)
class _Lane:
    sent_epoch: int
    moved_at: float
    chunks: deque[RecordChunk] = field(default_factory=deque)
    failed: bool = False
    probed: RecordChunk | None = None  # what was sent again alone
    resend: int = 0  # how many chunks from the front must go again


class Window:
    """The chunks of one upload that are on their way."""

    def __init__(self, *, stall_seconds: float) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._redriven: dict[int, _Lane] = {}
        self._stall_seconds = stall_seconds
        self._chunks = self._bytes = 0

    @property
    def held(self) -> Held:
        """How many chunks are on their way, and about how much memory they take."""
        return Held(self._chunks, self._bytes)

    @property
    def empty(self) -> bool:
        """Whether every chunk sent has its ledger row."""
        return self._chunks == 0

    @property
    def redriven(self) -> list[int]:
        """The numbers of the chunks that wait for their ledger row to be of this attempt."""
        return [chunk.chunk_number for lane in self._redriven.values() for chunk in lane.chunks]

    def add(self, chunk: RecordChunk, now: float, *, redriven: bool = False) -> None:
        """A chunk goes out for the first time, in this attempt; `redriven` if its lane has gone past it already."""
        lanes = self._redriven if redriven else self._lanes
        lane = lanes.setdefault(chunk.lane, _Lane(chunk.epoch, now))
        if not lane.chunks:
            lane.moved_at = now
        lane.chunks.append(chunk)
        self._count(chunk, 1)

    def failed(self, lane: int) -> None:
        """A chunk of this lane was not taken by the broker."""
        for lanes in (self._lanes, self._redriven):
            if lane in lanes and lanes[lane].chunks:
                lanes[lane].failed = True

    def observe(self, states: Iterable[LaneState], now: float, redone: Collection[int] = ()) -> None:
        """Take in what the database says: forget what has settled, find out what must go again.

        Args:
            states: The upload's lanes.
            now: The time.
            redone: Of the redriven chunks those that the ledger has under this attempt.
        """
        for state in states:
            if lane := self._lanes.get(state.lane):
                self._observe(lane, lambda chunk, end=state.next_seq: chunk.lane_seq < end, state.gap_epoch, now)  # type: ignore[misc]
        for lane in self._redriven.values():
            self._observe(lane, lambda chunk: chunk.chunk_number in redone, _NO_GAP, now)

    def take_resends(self, epoch: int) -> list[RecordChunk]:
        """The chunks to send again, which from now on count as sent under `epoch`."""
        again: list[RecordChunk] = []
        for lane in (*self._redriven.values(), *self._lanes.values()):
            again += [lane.chunks[place] for place in range(min(lane.resend, len(lane.chunks)))]
            if lane.resend:
                lane.sent_epoch, lane.resend, lane.failed = epoch, 0, False
        return again

    @property
    def must_resend(self) -> bool:
        """Whether `take_resends` would give anything."""
        return any(lane.resend for lane in (*self._redriven.values(), *self._lanes.values()))

    def _observe(self, lane: _Lane, has_settled: Callable[[RecordChunk], bool], gap_epoch: int, now: float) -> None:
        settled = []
        while lane.chunks and has_settled(lane.chunks[0]):
            settled.append(lane.chunks.popleft())
            self._count(settled[-1], -1)
        if settled:
            lane.moved_at = now
        _decide(lane, gap_epoch, now, settled, self._stall_seconds)

    def _count(self, chunk: RecordChunk, sign: int) -> None:
        self._chunks += sign
        self._bytes += sign * held_bytes(chunk)


def held_bytes(chunk: RecordChunk) -> int:
    """About how much memory a chunk takes while it is held."""
    texts = sum(len(bad["message"]) + len(bad["raw"]) for bad in chunk.rejections)
    return len(chunk.records) + texts + _REJECTION_BYTES * len(chunk.rejections)


def _decide(lane: _Lane, gap_epoch: int, now: float, settled: list[RecordChunk], stall_seconds: float) -> None:
    if not lane.chunks:
        lane.probed, lane.failed = None, False
        return
    only_the_probe_moved = lane.probed is not None and len(settled) == 1 and settled[0] is lane.probed
    if settled:
        lane.probed = None
    if lane.failed or gap_epoch >= lane.sent_epoch or only_the_probe_moved:
        lane.resend, lane.moved_at = len(lane.chunks), now
    elif now - lane.moved_at >= stall_seconds:
        lane.resend, lane.moved_at, lane.probed = 1, now, lane.chunks[0]
