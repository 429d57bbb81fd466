"""When a part that ended is started again: a pure decision.

The delay doubles with each end that follows closely on the one before, so that a part that cannot run does not eat the
machine, and is short after a minute of health, so that a single crash costs nothing.
"""

from dataclasses import dataclass

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
HEALTHY_AFTER = 60.0
ENDS_BEFORE_GIVING_UP = 5


@dataclass(frozen=True)
class History:
    """How a part has fared so far: ends in a row, and whether it has ever been ready."""

    ends: int = 0
    ever_ready: bool = False


@dataclass(frozen=True)
class Again:
    """Start the part again after so many seconds."""

    delay: float


@dataclass(frozen=True)
class GiveUp:
    """The part has never been ready and will not be: the system cannot start."""


@dataclass(frozen=True)
class Done:
    """The job has done its work."""


Action = Again | GiveUp | Done


def after_end(history: History, *, once: bool, exit_code: int, ready_for: float | None) -> tuple[History, Action]:
    """What to do about a part that has ended, and its history from now on.

    Args:
        history: before this life.
        once: whether the part is a job that may end.
        exit_code: of the process; below 0 the number of the signal that killed it.
        ready_for: seconds for which it was ready in this life, None if it never was.
    """
    if once and exit_code == 0:
        return History(ends=0, ever_ready=True), Done()
    healthy = ready_for is not None and ready_for >= HEALTHY_AFTER
    after = History(
        ends=1 if healthy else history.ends + 1,
        ever_ready=history.ever_ready or ready_for is not None,
    )
    if not after.ever_ready and after.ends >= ENDS_BEFORE_GIVING_UP:
        return after, GiveUp()
    return after, Again(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(after.ends - 1, 20)))
