"""What uploads may hold, alone and beside others."""

import pytest

from rowstream.runtime.metrics import CHUNKS_IN_FLIGHT
from splitter.budget import Budget, Held, Share, may_hold_more

CHUNKS, BYTES = 100, 1_000


@pytest.mark.parametrize(
    ("own", "everybody", "uploads", "may"),
    [
        pytest.param(Held(0, 0), 0, 1, True, id="nobody holds anything"),
        pytest.param(Held(99, 999), 999, 1, True, id="alone: all of it"),
        pytest.param(Held(100, 999), 999, 1, False, id="alone: as many chunks as may be"),
        pytest.param(Held(50, 1_000), 1_000, 1, False, id="alone: as many bytes as may be"),
        pytest.param(Held(49, 499), 900, 2, True, id="two: half of it"),
        pytest.param(Held(50, 10), 500, 2, False, id="two: half of the chunks"),
        pytest.param(Held(10, 500), 500, 2, False, id="two: half of the bytes"),
        pytest.param(Held(1, 1), 1_000, 2, False, id="the other holds everything"),
        pytest.param(Held(0, 0), 1_000, 2, True, id="whoever holds nothing may always send"),
        pytest.param(Held(0, 0), 9_000, 50, True, id="however many there are"),
        pytest.param(Held(3, 10), 500, 50, True, id="a few chunks for everybody"),
        pytest.param(Held(4, 10), 500, 50, False, id="but no more"),
    ],
)
def test_whether_one_more_chunk_may_go(own: Held, everybody: int, uploads: int, *, may: bool) -> None:
    assert may_hold_more(own, everybody, uploads, max_chunks=CHUNKS, max_bytes=BYTES) is may


def holds(share: Share, chunks: int, size: int) -> bool:
    share.note(Held(chunks, size))
    return share.may_hold_more


def test_shares_follow_who_is_there() -> None:
    budget = Budget(max_chunks=CHUNKS, max_bytes=BYTES)
    with budget.share() as one:
        assert holds(one, 60, 600)
        with budget.share() as two:
            assert not holds(one, 60, 600)
            assert holds(two, 10, 390)
            assert not holds(two, 10, 400)  # with the other's that is everything
            assert (one.uploads, budget.uploads) == (2, 2)
            assert CHUNKS_IN_FLIGHT._value.get() == 70
        assert CHUNKS_IN_FLIGHT._value.get() == 60
        assert holds(one, 60, 600)
    assert budget.uploads == CHUNKS_IN_FLIGHT._value.get() == 0


def test_however_many_uploads_come_they_hold_no_more_than_the_budget_and_a_chunk_each() -> None:
    budget, size, most = Budget(max_chunks=CHUNKS, max_bytes=BYTES), 30, 0
    held: dict[int, int] = {}

    def one_more(number: int) -> None:
        nonlocal most
        with budget.share() as share:
            held[number] = 0
            while holds(share, held[number], held[number] * size):
                held[number] += 1
            most = max(most, sum(held.values()) * size)
            if number:
                one_more(number - 1)

    one_more(20)
    assert min(held.values()) >= 1
    assert most <= BYTES + len(held) * size


def test_blocks_become_smaller_with_the_number_of_uploads_but_not_tiny() -> None:
    budget = Budget(max_chunks=CHUNKS, max_bytes=BYTES)
    with budget.share() as one:
        assert one.block_bytes(4 << 20) == 4 << 20
        assert one.block_bytes(1 << 16) == 1 << 16
        with budget.share(), budget.share():
            assert one.block_bytes(4 << 20) == (4 << 20) // 3
            with budget.share(), budget.share():
                assert one.block_bytes(4 << 20) == 1 << 20
                assert one.block_bytes(1 << 16) == 1 << 16
