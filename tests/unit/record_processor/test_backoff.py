"""What failed is left out for longer and longer, and what is remembered stays bounded."""

from record_processor.backoff import Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_doubles_up_to_the_longest_and_begins_anew_after_success() -> None:
    backoff: Backoff[str] = Backoff(longest_seconds=5, clock=Clock())
    assert [backoff.failed("a", "?") for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.done("a")
    backoff.done("never failed")
    assert backoff.failed("a", "?") == 1


def test_only_those_whose_pause_is_not_over_are_left_out() -> None:
    clock = Clock()
    backoff: Backoff[str] = Backoff(clock=clock)
    backoff.failed("a", "?")
    backoff.failed("b", "?")
    backoff.failed("b", "?")
    clock.now = 1.5
    assert backoff.left_out() == ["b"]
    assert backoff.failed("a", "?") == 2  # it is remembered
    clock.now = 4
    backoff.forget_all_but(backoff.left_out())
    assert backoff.failed("a", "?") == 1


def test_those_that_fail_for_long_are_told_with_their_last_reason() -> None:
    clock = Clock()
    backoff: Backoff[str] = Backoff(clock=clock)
    backoff.failed("a", "first")
    clock.now = 50
    backoff.failed("b", "?")
    backoff.failed("a", "last")
    assert backoff.failing_for(60) == []
    clock.now = 60
    assert backoff.failing_for(60) == [("a", "last")]
    assert backoff.failing_for(1) == [("a", "last"), ("b", "?")]


def test_of_too_many_the_one_that_would_be_tried_first_is_forgotten() -> None:
    backoff: Backoff[int] = Backoff(most=3, clock=Clock())
    backoff.failed(0, "?")
    backoff.failed(0, "?")
    for number in range(1, 10):
        backoff.failed(number, "?")
    assert backoff.left_out() == [0, 8, 9]
    assert backoff.is_full
