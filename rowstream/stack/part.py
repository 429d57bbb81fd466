"""A part of a system: what to run, how to see that it is ready, what it needs first."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rowstream.errors import Fatal

Probe = Callable[[int], str | None]
"""Given the part's process id: None when the part is ready, otherwise what it is waiting for. May block for 2 s."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this machine that a part runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process that the supervisor keeps alive, or (`once`) runs to its end.

    Attributes:
        name: unique in the system; also the name of its log.
        command: program and arguments; no secrets here, every user of the machine can read them.
        environment: the whole environment of the process.
        needs: names of the parts that must be ready before this one starts.
        prepare: runs before each start, e.g. to make a folder; may block.
        ready: asked again and again after each start; a part without it is ready as soon as it runs.
        settle: runs after each `ready` and before the part counts as ready, e.g. to make topics; may block.
        once: the process is a job: it is ready when it has ended with code 0, and is not started again.
        niceness: how far it stands back behind others that want the processor, 0 (not at all) to 19.
        account: the user to run as; None for the user who runs the supervisor.
        folder: the working folder; None for the supervisor's.
        stop_signal: asks the process to finish and leave.
        death_signal: what the kernel sends when the supervisor itself is killed.
        grace: seconds between stop_signal and SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None
    ready: Probe | None = None
    settle: Callable[[], None] | None = None
    once: bool = False
    niceness: int = 0
    account: Account | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    grace: float = 15.0


def levels(parts: Sequence[Part]) -> list[list[str]]:
    """Names of the parts in groups: each group needs only parts of the groups before it.

    Start the groups in this order and stop them in the other one.

    Raises:
        Fatal: a part needs one that is not there, or two need each other.
    """
    remaining = {part.name: set(part.needs) for part in parts}
    result: list[list[str]] = []
    done: set[str] = set()
    while remaining:
        group = [name for name, needs in remaining.items() if needs <= done]
        if not group:
            missing = ", ".join(f"{name} needs {', '.join(sorted(needs - done))}" for name, needs in remaining.items())
            raise Fatal(f"these parts can never start: {missing}")
        result.append(group)
        done.update(group)
        for name in group:
            del remaining[name]
    return result
