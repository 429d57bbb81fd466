import pytest

from rowstream.stack.restarts import Action, Again, Done, GiveUp, History, after_end

NEVER: float | None = None


def new(ends: int = 0) -> History:
    return History(ends)


def known(ends: int) -> History:
    return History(ends, ever_ready=True)


CASES: dict[str, tuple[History, bool, int, float | None, History, Action]] = {
    "the first end": (new(), False, 1, 5.0, known(1), Again(0.2)),
    "each end in a row doubles the delay": (known(1), False, -9, 5.0, known(2), Again(0.4)),
    "up to ten seconds": (known(8), False, -9, 0.1, known(9), Again(10.0)),
    "for ever": (known(5_000), False, 1, NEVER, known(5_001), Again(10.0)),
    "a minute of health forgives": (known(8), False, -9, 60.0, known(1), Again(0.2)),
    "less does not": (known(2), False, -9, 59.9, known(3), Again(0.8)),
    "code 0 is an end too": (new(), False, 0, 5.0, known(1), Again(0.2)),
    "not ready yet": (new(), False, 1, NEVER, new(1), Again(0.2)),
    "never ready, five times": (new(4), False, 1, NEVER, new(5), GiveUp()),
    "ready once, so it can be again": (known(4), False, 1, NEVER, known(5), Again(3.2)),
    "a job that is done": (new(2), True, 0, NEVER, known(0), Done()),
    "a job that failed": (new(), True, 1, NEVER, new(1), Again(0.2)),
    "a job that always fails": (new(4), True, 1, NEVER, new(5), GiveUp()),
}


@pytest.mark.parametrize(("before", "once", "exit_code", "ready_for", "after", "action"), CASES.values(), ids=CASES)
def test_what_to_do_about_a_part_that_ended(
    *, before: History, once: bool, exit_code: int, ready_for: float | None, after: History, action: Action
) -> None:
    assert after_end(before, once=once, exit_code=exit_code, ready_for=ready_for) == (after, action)
