"""What a check of `rowstream doctor` is: a function that says what it found, or raises what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rowstream.errors import RowstreamError
from rowstream.stack.state_dir import StateDir


class Wrong(Exception):
    """A check failed: what was found, and what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; `advice` is empty where all is well."""

    check: str
    ok: bool
    found: str
    advice: str = ""


Check = tuple[str, Callable[[], str]]


def look(check: Check, state: StateDir) -> Finding:
    """Do one check."""
    name, act = check
    try:
        return Finding(name, ok=True, found=act())
    except Wrong as wrong:
        return Finding(name, ok=False, found=str(wrong), advice=wrong.advice)
    except RowstreamError as error:
        return Finding(name, ok=False, found=str(error), advice=_see(state.log_of(name)))


def no_system(state: StateDir) -> Finding:
    """What is said when there is no running system to look at."""
    advice = "start one with `rowstream up`, or name its folder with --state-dir"
    return Finding("system", ok=False, found=f"none runs on {state.path}", advice=advice)


def gone(state: StateDir) -> Finding:
    """What is said when the `rowstream up` that ran here was killed, and its parts with it."""
    advice = "start `rowstream up` on this folder again: uploads go on where they were"
    return Finding("system", ok=False, found=f"`rowstream up` on {state.path} ended without clearing up", advice=advice)


def _see(log: Path) -> str:
    return f"see {log}" if log.exists() else "see the log of that server"
