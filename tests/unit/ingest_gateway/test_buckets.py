"""Token buckets: a table of moments, and what always holds."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.access.buckets import Buckets, Limit, decide
from ingest_gateway.access.remembered import Remembered


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(buckets: Buckets, limit: Limit, name: str = "a") -> bool:
    return buckets.take(name, limit).allowed


@pytest.mark.parametrize(
    ("per_minute", "burst_seconds", "capacity", "window"),
    [(60, 10, 10, 10), (6_000, 10, 1_000, 10), (1, 10, 1, 60), (60, 0.5, 1, 1), (90, 1, 1, 2 / 3)],
)
def test_a_bucket_holds_the_tokens_of_the_burst_and_at_least_one(
    per_minute: int, burst_seconds: float, capacity: int, window: float
) -> None:
    limit = Limit("key", per_minute, burst_seconds)
    assert limit.capacity == capacity
    assert limit.window == pytest.approx(window)


def test_a_full_bucket_gives_all_its_tokens_and_then_one_an_interval() -> None:
    clock, limit = Clock(), Limit("key", 60, 5)
    buckets = Buckets(10, clock)
    assert [taken(buckets, limit) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 1
    assert [taken(buckets, limit) for _ in range(2)] == [True, False]
    clock.now += 2.5
    assert [taken(buckets, limit) for _ in range(3)] == [True, True, False]
    clock.now += 1_000
    assert [taken(buckets, limit) for _ in range(6)] == [True] * 5 + [False]


def test_a_token_that_is_given_back_can_be_taken_again_and_a_full_bucket_stays_full() -> None:
    limit, buckets = Limit("key", 60, 3), Buckets(10, Clock())
    buckets.give_back("a", limit)
    assert [taken(buckets, limit) for _ in range(4)] == [True] * 3 + [False]
    buckets.give_back("a", limit)
    assert [taken(buckets, limit) for _ in range(2)] == [True, False]


def test_a_verdict_says_how_much_is_left_and_when_to_come_again() -> None:
    clock, limit = Clock(), Limit("key", 60, 3)
    buckets = Buckets(10, clock)
    verdicts = [buckets.take("a", limit) for _ in range(4)]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert [round(verdict.retry_after, 6) for verdict in verdicts] == [0, 0, 1, 1]
    clock.now += 0.25
    assert buckets.take("a", limit).retry_after == pytest.approx(0.75)


def test_refused_requests_take_nothing() -> None:
    clock, limit = Clock(), Limit("key", 60, 1)
    buckets = Buckets(10, clock)
    taken(buckets, limit)
    for _ in range(1_000):
        assert not taken(buckets, limit)
    clock.now += 1
    assert taken(buckets, limit)


def test_looking_takes_nothing() -> None:
    buckets, limit = Buckets(10, Clock()), Limit("key", 60, 1)
    assert [buckets.look("a", limit).allowed for _ in range(3)] == [True] * 3
    assert taken(buckets, limit)
    assert not buckets.look("a", limit).allowed


def test_buckets_of_two_names_are_two() -> None:
    buckets, limit = Buckets(10, Clock()), Limit("key", 60, 1)
    assert taken(buckets, limit, "a")
    assert taken(buckets, limit, "b")
    assert not taken(buckets, limit, "a")


def test_what_is_learnt_only_makes_a_debt_larger() -> None:
    buckets, limit = Buckets(10, Clock()), Limit("key", 60, 5)
    buckets.learn("a", 4.0)
    buckets.learn("a", 1.0)
    assert [taken(buckets, limit) for _ in range(2)] == [True, False]


def test_no_more_are_kept_than_may_be_and_the_longest_unused_goes_first() -> None:
    clock, limit = Clock(), Limit("address", 60, 1)
    buckets = Buckets(100, clock)
    taken(buckets, limit, "first")
    for number in range(99):
        taken(buckets, limit, f"other {number}")
    assert not taken(buckets, limit, "first"), "it is still known"
    for number in range(100_000):
        taken(buckets, limit, f"flood {number}")
    assert len(buckets) == 100
    assert taken(buckets, limit, "first")


def test_threads_together_get_no_more_than_there_is() -> None:
    buckets, limit = Buckets(10, Clock()), Limit("key", 60_000, 1)
    counts: list[int] = []

    def work() -> None:
        counts.append(sum(taken(buckets, limit) for _ in range(1_000)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == limit.capacity


@given(
    per_minute=st.integers(1, 100_000),
    burst_seconds=st.floats(0.1, 600),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=300),
)
def test_no_stretch_of_time_has_more_than_its_tokens_and_one_bucket(
    per_minute: int, burst_seconds: float, pauses: list[float]
) -> None:
    clock, limit = Clock(), Limit("key", per_minute, burst_seconds)
    buckets, begun = Buckets(10, clock), clock.now
    allowed = 0
    for pause in pauses:
        clock.now += pause
        allowed += taken(buckets, limit)
        assert allowed <= limit.capacity + (clock.now - begun) / limit.interval + 1e-3


@given(debt=st.floats(0, 1_000), per_minute=st.integers(1, 100_000), burst_seconds=st.floats(0.1, 600))
def test_who_waits_as_long_as_they_are_told_is_let_in(debt: float, per_minute: int, burst_seconds: float) -> None:
    limit = Limit("key", per_minute, burst_seconds)
    verdict = decide(limit, min(debt, limit.window))
    if not verdict.allowed:
        assert decide(limit, max(0.0, verdict.debt - verdict.retry_after)).allowed


def test_what_is_remembered_is_bounded() -> None:
    known: Remembered[int, str] = Remembered(2)
    known.put(1, "a")
    known.put(2, "b")
    known.put(1, "c")
    known.put(3, "d")
    assert (known.get(1), known.get(2), known.get(3), len(known)) == ("c", None, "d", 2)
