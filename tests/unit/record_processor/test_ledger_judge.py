"""What is done with each chunk: a table of cases, then any sequence at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from record_processor.batch import ChunkInHand
from record_processor.ledger import UploadState, Verdict, judge

WORK, DONE, GAP, DROP, STRANGER = Verdict.WORK, Verdict.DONE, Verdict.GAP, Verdict.DROP, Verdict.STRANGER
UPLOAD, OTHER = UUID(int=1), UUID(int=2)
OURS, THEIRS = UUID(int=10), UUID(int=11)
LANES = 4


@dataclass
class _Chunk:
    upload_id: UUID
    organization_id: UUID
    attempt: int
    lane: int
    lane_seq: int
    record_type: str

    @property
    def chunk_number(self) -> int:
        return self.lane_seq * LANES + self.lane


def hand(
    lane_seq: int, *, lane: int = 0, upload: UUID = UPLOAD, attempt: int = 1, organization: UUID = OURS
) -> ChunkInHand:
    chunk = _Chunk(upload, organization, attempt, lane, lane_seq, "a" if upload == UPLOAD else "b")
    return ChunkInHand(message=cast("Any", None), chunk=cast("Any", chunk), envelope=cast("Any", None), records=None)


def verdicts(
    hands: Sequence[ChunkInHand],
    *,
    next_seq: int = 5,
    attempt: int = 1,
    status: str = "processing",
    requested: str = "run",
    redriven: frozenset[int] = frozenset(),
    standing: frozenset[str] = frozenset(),
) -> list[Verdict]:
    """With two lanes of two uploads that wait for `next_seq`."""
    waiting = {(upload, lane): next_seq for upload in (UPLOAD, OTHER) for lane in (0, 1)}
    states = {
        UPLOAD: UploadState(OURS, attempt, status, requested, "a"),
        OTHER: UploadState(OURS, 1, "processing", "run", "b"),
    }
    return judge(hands, waiting, states, {(UPLOAD, seq * LANES) for seq in redriven}, standing)


CASES: dict[str, tuple[list[ChunkInHand], dict[str, Any], list[Verdict]]] = {
    "nothing": ([], {}, []),
    "the next one": ([hand(5)], {}, [WORK]),
    "done before": ([hand(4), hand(0)], {}, [DONE, DONE]),
    "behind a gap": ([hand(6)], {}, [GAP]),
    "a row of them": ([hand(5), hand(6), hand(7)], {}, [WORK, WORK, WORK]),
    "a row with a hole": ([hand(5), hand(7), hand(8)], {}, [WORK, GAP, GAP]),
    "out of order": ([hand(6), hand(5), hand(6)], {}, [GAP, WORK, WORK]),
    "the same twice": ([hand(5), hand(5), hand(6), hand(5)], {}, [WORK, DONE, WORK, DONE]),
    "lanes apart": ([hand(5), hand(6, lane=1), hand(5, lane=1)], {}, [WORK, GAP, WORK]),
    "uploads apart": ([hand(5), hand(6, upload=OTHER), hand(5, upload=OTHER)], {}, [WORK, GAP, WORK]),
    "an unknown upload": ([hand(5, upload=UUID(int=3))], {}, [STRANGER]),
    "another organization's": ([hand(5, organization=THEIRS)], {}, [STRANGER]),
    "an unknown lane": ([hand(5, lane=2)], {}, [STRANGER]),
    "failed": ([hand(5)], {"status": "failed"}, [DROP]),
    "cancelled": ([hand(5), hand(6), hand(4)], {"status": "cancelled"}, [DROP, DROP, DROP]),
    "completed": ([hand(4), hand(5)], {"status": "completed"}, [DONE, WORK]),
    "paused": ([hand(5)], {"requested": "pause"}, [DROP]),
    "to be cancelled": ([hand(5)], {"requested": "cancel"}, [DROP]),
    "one is paused, one is not": ([hand(5), hand(5, upload=OTHER)], {"requested": "pause"}, [DROP, WORK]),
    "an earlier attempt's": ([hand(5)], {"attempt": 2}, [DROP]),
    "a redriven one": ([hand(2, attempt=2)], {"attempt": 2, "redriven": {2}}, [WORK]),
    "a redriven one twice": ([hand(2, attempt=2)] * 2, {"attempt": 2, "redriven": {2}}, [WORK, DONE]),
    "a redriven one that is closed": (
        [hand(2, attempt=2)],
        {"attempt": 2, "redriven": {2}, "status": "failed"},
        [DROP],
    ),
    "redriven among others": (
        [hand(3, attempt=2), hand(2, attempt=2), hand(5, attempt=2), hand(7, attempt=2)],
        {"attempt": 2, "redriven": {2}},
        [DONE, WORK, WORK, GAP],
    ),
    "one type stands still, one does not": (
        [hand(4), hand(5), hand(7), hand(5, upload=OTHER)],
        {"standing": {"a"}},
        [DONE, DROP, DROP, WORK],
    ),
    "a redriven one that stands still": (
        [hand(2, attempt=2), hand(3, attempt=2)],
        {"attempt": 2, "redriven": {2}, "standing": {"a"}},
        [DROP, DONE],
    ),
}


@pytest.mark.parametrize(("hands", "facts", "expected"), CASES.values(), ids=CASES)
def test_verdicts(hands: list[ChunkInHand], facts: dict[str, Any], expected: list[Verdict]) -> None:
    assert verdicts(hands, **facts) == expected


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9))), st.integers(0, 9))
def test_whatever_comes_each_lane_is_worked_in_its_order_and_nothing_twice(
    places: list[tuple[int, int]], next_seq: int
) -> None:
    hands = [hand(lane_seq, lane=lane) for lane, lane_seq in places]
    reached = dict.fromkeys((0, 1), next_seq)
    for (lane, lane_seq), verdict in zip(places, verdicts(hands, next_seq=next_seq), strict=True):
        if lane_seq == reached[lane]:
            assert verdict is WORK
            reached[lane] += 1
        else:
            assert verdict is (DONE if lane_seq < reached[lane] else GAP)


@given(st.lists(st.integers(0, 9)), st.integers(0, 9), st.integers(0, 30))
def test_two_batches_do_what_one_does(seqs: list[int], next_seq: int, cut: int) -> None:
    hands = [hand(lane_seq) for lane_seq in seqs]
    first = verdicts(hands[:cut], next_seq=next_seq)
    second = verdicts(hands[cut:], next_seq=next_seq + first.count(WORK))
    assert first + second == verdicts(hands, next_seq=next_seq)
