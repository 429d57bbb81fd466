"""What may go out of an upload and what must go again: by cases, and in a world where anything may happen."""

from collections import deque
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rowstream.messages.record_chunk import RecordChunk
from splitter.budget import Held
from splitter.window import LaneState, Window, held_bytes

STALL = 20.0


def chunk(lane: int, lane_seq: int, epoch: int = 1, size: int = 10, rejections: int = 0) -> RecordChunk:
    bad = {"row_number": 2, "code": "VAL_006", "message": "m", "raw": "r" * 100}
    return RecordChunk(
        upload_id=UUID(int=1), organization_id=UUID(int=2), attempt=1, epoch=epoch, lane=lane, lane_seq=lane_seq,
        chunk_number=lane_seq * 8 + lane, record_type="thing", record_type_version=1, first_row=2, last_row=3,
        record_count=1, columns=[], records=bytes(size), rejections=[bad] * rejections, digest=b"",
    )  # fmt: skip


def window() -> Window:
    return Window(stall_seconds=STALL)


def filled(*chunks: RecordChunk, now: float = 0.0) -> Window:
    made = window()
    for one in chunks:
        made.add(one, now)
    return made


def seqs(chunks: list[RecordChunk]) -> list[tuple[int, int]]:
    return [(one.lane, one.lane_seq) for one in chunks]


def lane_of(*lane_seqs: int, lane: int = 0, epoch: int = 1) -> list[RecordChunk]:
    return [chunk(lane, seq, epoch) for seq in lane_seqs]


@pytest.mark.parametrize(
    ("states", "now", "again"),
    [
        pytest.param([LaneState(0, 5, -1)], 1.0, [], id="nothing happened yet"),
        pytest.param([LaneState(0, 7, -1)], 1.0, [], id="some settled"),
        pytest.param([LaneState(0, 5, 0)], 1.0, [], id="a gap met by what an earlier holder sent"),
        pytest.param([LaneState(0, 5, 1)], 1.0, [5, 6, 7], id="a gap at the front"),
        pytest.param([LaneState(0, 6, 1)], 1.0, [6, 7], id="a gap in the middle"),
        pytest.param([LaneState(0, 8, 1)], 1.0, [], id="a gap that was closed meanwhile"),
        pytest.param([LaneState(0, 5, -1)], STALL - 0.1, [], id="not yet standing still"),
        pytest.param([LaneState(0, 5, -1)], STALL, [5], id="standing still: the first alone"),
        pytest.param([LaneState(0, 6, -1)], STALL, [], id="just moved"),
        pytest.param([LaneState(3, 5, 9)], STALL, [], id="another lane's"),
        pytest.param([], STALL, [], id="the database says nothing"),
    ],
)
def test_what_goes_again(states: list[LaneState], now: float, again: list[int]) -> None:
    sent = filled(*lane_of(5, 6, 7))
    sent.observe(states, now)
    assert sent.must_resend == bool(again)
    assert [one.lane_seq for one in sent.take_resends(2)] == again
    assert not sent.must_resend
    assert sent.take_resends(2) == []


def test_a_gap_is_answered_once_for_each_epoch() -> None:
    sent = filled(*lane_of(0, 1))
    sent.observe([LaneState(0, 0, 1)], 1.0)
    assert len(sent.take_resends(2)) == 2
    sent.observe([LaneState(0, 0, 1)], 2.0)  # other chunks of the first epoch come in late and meet the gap again
    assert not sent.must_resend
    sent.observe([LaneState(0, 0, 2)], 3.0)  # what was sent again was lost as well
    assert len(sent.take_resends(3)) == 2


def test_a_delivery_that_failed_sends_its_lane_again_and_no_other() -> None:
    sent = filled(*lane_of(0, 1), *lane_of(0, lane=1))
    sent.failed(0)
    sent.observe([LaneState(0, 0, -1), LaneState(1, 0, -1)], 1.0)
    assert seqs(sent.take_resends(2)) == [(0, 0), (0, 1)]
    sent.observe([LaneState(0, 0, -1), LaneState(1, 0, -1)], 2.0)
    assert not sent.must_resend


def test_a_failed_delivery_of_what_has_settled_means_nothing() -> None:
    sent = filled(*lane_of(0))
    sent.failed(0)
    sent.observe([LaneState(0, 1, -1)], 1.0)
    sent.failed(0)
    sent.failed(7)
    sent.add(chunk(0, 1), 1.0)
    sent.observe([LaneState(0, 1, -1)], 2.0)
    assert not sent.must_resend


def test_when_the_probe_alone_moved_the_queue_was_lost() -> None:
    sent = filled(*lane_of(0, 1, 2, 3))
    sent.observe([LaneState(0, 0, -1)], STALL)
    assert seqs(sent.take_resends(2)) == [(0, 0)]
    sent.observe([LaneState(0, 1, -1)], STALL + 1)
    assert seqs(sent.take_resends(3)) == [(0, 1), (0, 2), (0, 3)]


def test_when_others_moved_with_the_probe_the_queue_was_only_long() -> None:
    sent = filled(*lane_of(0, 1, 2, 3))
    sent.observe([LaneState(0, 0, -1)], STALL)
    sent.take_resends(2)
    sent.observe([LaneState(0, 2, -1)], STALL + 1)
    assert not sent.must_resend
    sent.observe([LaneState(0, 3, -1)], STALL + 2)  # one more, long after the probe
    assert not sent.must_resend


def test_a_probe_that_is_lost_is_sent_again_after_the_same_time() -> None:
    sent = filled(*lane_of(0, 1))
    taken = []
    for now in range(0, 101, 1):
        sent.observe([LaneState(0, 0, -1)], float(now))
        taken += seqs(sent.take_resends(2 + now))
    assert taken == [(0, 0)] * 5


def test_time_that_a_lane_had_nothing_to_do_is_no_standing_still() -> None:
    sent = filled(*lane_of(0))
    sent.observe([LaneState(0, 1, -1)], 1.0)
    sent.add(chunk(0, 1), 100.0)
    sent.observe([LaneState(0, 1, -1)], 100.0 + STALL - 0.1)
    assert not sent.must_resend
    sent.observe([LaneState(0, 1, -1)], 100.0 + STALL)
    assert sent.must_resend


def test_it_knows_what_it_holds_and_is_empty_when_all_have_settled() -> None:
    sent = window()
    seen = [(sent.held, sent.empty)]
    for lane in (0, 1):
        sent.add(chunk(lane, 0, size=50), 0.0)
        seen.append((sent.held, sent.empty))
    for lane in (0, 1):
        sent.observe([LaneState(lane, 1, -1)], 0.0)
        seen.append((sent.held, sent.empty))
    assert seen == [
        (Held(0, 0), True), (Held(1, 50), False), (Held(2, 100), False), (Held(1, 50), False), (Held(0, 0), True),
    ]  # fmt: skip


def test_a_chunk_of_rejections_takes_room_as_well() -> None:
    bad = chunk(0, 0, size=0, rejections=1_000)
    assert held_bytes(bad) > 100 * 1_000
    sent = window()
    sent.add(bad, 0.0)
    assert sent.held == Held(1, held_bytes(bad))


def test_what_an_earlier_attempt_left_unprocessed_settles_by_its_ledger_row_and_not_by_its_lane() -> None:
    sent = window()
    for one in lane_of(1, 3):
        sent.add(one, 0.0, redriven=True)
    sent.add(chunk(0, 5), 0.0)
    assert sent.redriven == [8, 24]
    sent.observe([LaneState(0, 6, 1)], 1.0)  # neither the lane's place nor its gap says anything of them
    assert (sent.redriven, sent.empty, sent.must_resend) == ([8, 24], False, False)
    sent.observe([LaneState(0, 6, 1)], 2.0, redone={8})
    assert sent.redriven == [24]
    sent.observe([LaneState(0, 6, 1)], 3.0, redone={24})
    assert (sent.redriven, sent.empty) == ([], True)


def test_they_go_again_when_they_stand_still_or_their_delivery_failed() -> None:
    sent = window()
    for one in lane_of(1, 3, 4):
        sent.add(one, 0.0, redriven=True)
    sent.observe([LaneState(0, 5, -1)], STALL - 0.1)
    assert not sent.must_resend
    sent.observe([LaneState(0, 5, -1)], STALL)
    assert seqs(sent.take_resends(2)) == [(0, 1)]  # the first alone: the others may only be waiting
    sent.observe([LaneState(0, 5, -1)], STALL + 1, redone={8})
    assert seqs(sent.take_resends(3)) == [(0, 3), (0, 4)]  # and nothing behind it moved
    sent.failed(0)
    sent.observe([LaneState(0, 5, -1)], STALL + 2)
    assert seqs(sent.take_resends(4)) == [(0, 3), (0, 4)]


def test_they_take_room_like_any_other() -> None:
    sent = window()
    sent.add(chunk(0, 1), 0.0, redriven=True)
    assert sent.held.chunks == 1
    sent.observe([], 0.0, redone={8})
    assert sent.held == Held(0, 0)


LANES = 3
MOST = 6


class AnyWorld(RuleBasedStateMachine):
    """A sender with its window before a broker that loses and reorders, and processors that work as the ledger says."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(stall_seconds=STALL)
        self.now, self.epoch, self.again = 0.0, 1, 0
        self.made = [0] * LANES
        self.next_seq = [0] * LANES
        self.gap_epoch = [-1] * LANES
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(LANES)]  # (lane_seq, epoch)

    # what the sender does

    @rule(lane=st.integers(0, LANES - 1), delivered=st.sampled_from([True, True, True, False]))
    def send(self, lane: int, delivered: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        if self.window.held.chunks < MOST:
            self.window.add(chunk(lane, self.made[lane], self.epoch), self.now)
            if delivered:
                self.queues[lane].append((self.made[lane], self.epoch))
            self.made[lane] += 1

    @rule(lost=st.sets(st.integers(0, 20)))
    def look(self, lost: set[int]) -> None:
        self.window.observe(self.states(), self.now)
        if self.window.must_resend:
            self.epoch += 1
            chunks = self.window.take_resends(self.epoch)
            self.again += len(chunks)
            assert len(chunks) <= MOST
            for place, one in enumerate(chunks):
                assert one.lane_seq >= self.next_seq[one.lane]  # what has settled is never sent again
                if place not in lost:
                    self.queues[one.lane].append((one.lane_seq, self.epoch))

    @rule(lane=st.integers(0, LANES - 1))
    def told_that_delivery_failed(self, lane: int) -> None:
        self.window.failed(lane)

    # what the world does

    @rule(lane=st.integers(0, LANES - 1), batch=st.integers(1, 5))
    def process(self, lane: int, batch: int) -> None:
        for _ in range(min(batch, len(self.queues[lane]))):
            seq, epoch = self.queues[lane].popleft()
            if seq == self.next_seq[lane]:
                self.next_seq[lane] += 1
            elif seq > self.next_seq[lane]:
                self.gap_epoch[lane] = max(self.gap_epoch[lane], epoch)

    @rule(lane=st.integers(0, LANES - 1))
    def drop_what_is_paused(self, lane: int) -> None:
        if self.queues[lane]:
            self.queues[lane].popleft()

    @rule()
    def lose_the_log(self) -> None:
        for queue in self.queues:
            queue.clear()

    @precondition(lambda self: any(self.queues))
    @rule(data=st.data())
    def reorder(self, data: st.DataObject) -> None:
        for lane, queue in enumerate(self.queues):
            self.queues[lane] = deque(data.draw(st.permutations(list(queue))))

    @rule(lane=st.integers(0, LANES - 1))
    def deliver_twice(self, lane: int) -> None:
        self.queues[lane].extend(list(self.queues[lane]))

    @rule(seconds=st.sampled_from([0.1, 5.0, STALL]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # what must always be so

    @invariant()
    def never_more_than_the_window(self) -> None:
        unsettled = sum(made - done for made, done in zip(self.made, self.next_seq, strict=True))
        assert unsettled <= MOST

    def teardown(self) -> None:
        """Once nothing goes wrong any more, everything settles within two stalls, after few resends."""
        before, healed_at = self.again, self.now
        while not self.window.empty:
            assert self.now <= healed_at + 2 * STALL + 2, "an upload stands still for ever"
            for _ in range(5):  # a sender looks more often than processors get on
                self.look(lost=set())
            for lane in range(LANES):
                self.process(lane, 100)
            self.now += 1.0
        assert self.next_seq == self.made
        assert self.again - before <= 2 * MOST

    def states(self) -> list[LaneState]:
        return [LaneState(lane, self.next_seq[lane], self.gap_epoch[lane]) for lane in range(LANES)]


TestAnyWorld = AnyWorld.TestCase
TestAnyWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
