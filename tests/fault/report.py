"""The table of a run: by kind, how many struck, how soon all was well again, what was not as promised."""

from collections.abc import Sequence
from statistics import median

from tests.fault.plan import KINDS
from tests.fault.run import SEVERAL, Outcome

_HEAD = ("kind", "faults", "struck", "two in flight", "recovered median", "recovered max", "violations")
_NUMBERS = "{:>8}{:>8}{:>15}{:>18}{:>15}{:>12}"


def table(outcomes: Sequence[Outcome]) -> str:
    """The table as text; seconds are from the healing to the end of the last upload."""
    lines = ["", f"{_HEAD[0]:<24}" + _NUMBERS.format(*_HEAD[1:])]
    lines += [_line(kind, [one for one in outcomes if one.plan.kind == kind]) for kind in KINDS]
    memory = max((one.memory_mb for one in outcomes), default=0.0)
    end = [_line("all", list(outcomes)), f"most memory of any worker: {memory:.0f} MB", ""]
    return "\n".join([*(line for line in lines if line), *end])


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    struck = [one for one in outcomes if one.struck]
    seconds = [one.recovery.ended for one in struck] or [0.0]
    several = sum(one.in_flight >= SEVERAL for one in struck)
    wrong = sum(bool(one.violations) for one in outcomes)
    figures = (len(outcomes), len(struck), several, f"{median(seconds):.1f} s", f"{max(seconds):.1f} s", wrong)
    return f"{name:<24}" + _NUMBERS.format(*figures)
