"""What is sent of an upload and has no ledger row yet: how much more may go out, and what must go again.

Pure: the clock is passed in, sending is the caller's. A lane's chunks settle in order, so a lane is known by the
sequence number that it waits for (`next_seq`). Chunks go again for one of four reasons:
- a processor met a gap: everything from `next_seq` on, once for each epoch in which it was sent;
- a delivery failed: likewise;
- the lane stands still: its first missing chunk alone, since the others may only be waiting in a long queue;
- that one chunk settled, and nothing behind it moved: the queue was lost, so all the rest.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rowstream.messages.record_chunk import RecordChunk

_REJECTION_BYTES = 500  # what a rejection takes beside its texts


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane as the database has it."""

    lane: int
    next_seq: int
    gap_epoch: int


@dataclass(slots=True)
class _Lane:
    next_seq: int
    sent_epoch: int
    moved_at: float
    chunks: deque[RecordChunk] = field(default_factory=deque)
    failed: bool = False
    probed: int | None = None  # the sequence number that was sent again alone
    resend: int = 0  # how many chunks from the front must go again


class Window:
    """The chunks of one upload that are on their way."""

    def __init__(self, *, max_chunks: int, max_bytes: int, stall_seconds: float) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._max_chunks, self._max_bytes, self._stall_seconds = max_chunks, max_bytes, stall_seconds
        self._chunks = self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be sent for now."""
        return self._chunks >= self._max_chunks or self._bytes >= self._max_bytes

    @property
    def empty(self) -> bool:
        """Whether every chunk sent has its ledger row."""
        return self._chunks == 0

    def add(self, chunk: RecordChunk, now: float) -> None:
        """A chunk goes out for the first time."""
        lane = self._lanes.setdefault(chunk.lane, _Lane(chunk.lane_seq, chunk.epoch, now))
        if not lane.chunks:
            lane.moved_at = now
        lane.chunks.append(chunk)
        self._count(chunk, 1)

    def failed(self, lane: int) -> None:
        """A chunk of this lane was not taken by the broker."""
        if lane in self._lanes and self._lanes[lane].chunks:
            self._lanes[lane].failed = True

    def observe(self, states: Iterable[LaneState], now: float) -> None:
        """Take in what the database says: forget what has settled, find out what must go again."""
        for state in states:
            lane = self._lanes.get(state.lane)
            if lane is None:
                continue
            moved = state.next_seq - lane.next_seq
            while lane.chunks and lane.chunks[0].lane_seq < state.next_seq:
                self._count(lane.chunks.popleft(), -1)
            if moved > 0:
                lane.next_seq, lane.moved_at = state.next_seq, now
            _decide(lane, state, now, moved, self._stall_seconds)

    def take_resends(self, epoch: int) -> list[RecordChunk]:
        """The chunks to send again, which from now on count as sent under `epoch`."""
        again: list[RecordChunk] = []
        for lane in self._lanes.values():
            again += [lane.chunks[place] for place in range(min(lane.resend, len(lane.chunks)))]
            if lane.resend:
                lane.sent_epoch, lane.resend, lane.failed = epoch, 0, False
        return again

    @property
    def must_resend(self) -> bool:
        """Whether `take_resends` would give anything."""
        return any(lane.resend for lane in self._lanes.values())

    def _count(self, chunk: RecordChunk, sign: int) -> None:
        self._chunks += sign
        self._bytes += sign * held_bytes(chunk)


def held_bytes(chunk: RecordChunk) -> int:
    """About how much memory a chunk takes while it is held."""
    texts = sum(len(bad["message"]) + len(bad["raw"]) for bad in chunk.rejections)
    return len(chunk.records) + texts + _REJECTION_BYTES * len(chunk.rejections)


def _decide(lane: _Lane, state: LaneState, now: float, moved: int, stall_seconds: float) -> None:
    if not lane.chunks:
        lane.probed, lane.failed = None, False
        return
    only_the_probe_moved = lane.probed is not None and moved == 1 and state.next_seq == lane.probed + 1
    if moved > 0:
        lane.probed = None
    if lane.failed or state.gap_epoch >= lane.sent_epoch or only_the_probe_moved:
        lane.resend, lane.moved_at = len(lane.chunks), now
    elif now - lane.moved_at >= stall_seconds:
        lane.resend, lane.moved_at, lane.probed = 1, now, state.next_seq
