"""Shows how a system starts, and later which of its parts had to be started again."""

import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from rowstream.cli.options import DEFAULT_STATE_DIR
from rowstream.cli.output import answer, note
from rowstream.stack.addresses import API_KEY, OWNER_PASSWORD, Addresses, without_password
from rowstream.stack.runner import Announcing, Ended, Event, Jammed, Ready, Recycled, Starting

if TYPE_CHECKING:
    from rich.status import Status

_KEPT = (
    "what is announced stays in the embedded broker until `up` ends, and is lost then; announce many records on a real "
    "Kafka (--broker)"
)


class StartView:
    """Lines on stderr, one for each part that is ready; where a person looks, what is still missing below."""

    def __init__(self, state_dir: Path, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._status: Status | None = None
        self._missing: list[str] = []
        self._starting = True
        self._what = f"starting on {state_dir}"

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status(self._what)
            self._status.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._end_status()

    def tell(self, event: Event) -> None:
        """Show what happened to a part."""
        match event:
            case Starting(parts):
                self._missing = list(parts)
                if not self._status:
                    note(f"{_clock()} {self._what}: {', '.join(parts)}")
            case Ready(part, seconds):
                self._ready(part, seconds)
            case Ended(part, reason, delay, log):
                note(f"{_clock()} {part} {reason}; starting it again in {delay:.1f} s (log: {log})")
            case Recycled(part, seconds, before, after, limit, None):
                still = "" if after < limit else f", more than {limit >> 20} MB: {_KEPT}"
                note(
                    f"{_clock()} {part} freed: {before >> 20} MB before, {after >> 20} MB now ({seconds:.0f} s){still}"
                )
            case Recycled(part, failure=failure):
                note(f"{_clock()} {part} not freed, to be tried again: {failure}")
            case Jammed(part, service):
                note(f"{_clock()} {part} lets {service} into no group; starting it anew, what it held is sent again")
            case Announcing(part, record_types):
                note(f"{part} keeps every accepted record of {', '.join(record_types)} in memory: {_KEPT}")
        if self._status:
            self._status.update(f"{self._what}, waiting for {', '.join(self._missing) or 'nothing more'}")

    def started(self) -> None:
        """The system is ready as a whole."""
        self._starting = False
        self._end_status()

    def _ready(self, part: str, seconds: float) -> None:
        if not self._starting:
            note(f"{_clock()} {part} is ready again")
        elif self._status:
            self._console.print(f"[green]✓[/] {part} [dim]{seconds:.1f} s[/]")
        else:
            note(f"{_clock()} {part} is ready ({seconds:.1f} s)")
        if part in self._missing:
            self._missing.remove(part)

    def _end_status(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None


def say_ready(addresses: Addresses, state_dir: Path, *, for_person: bool) -> None:
    """Say where a ready system can be reached: one line for a log, or for a person also what to do with it."""
    key = state_dir / API_KEY
    owner = f"{addresses.owner}  password in {state_dir / OWNER_PASSWORD}" if addresses.owner else ""
    if not for_person:
        answer(f"ready  {addresses.line()}  api key in {key}" + (f"  owner {owner}" if owner else ""))
        return
    here = "" if state_dir == DEFAULT_STATE_DIR else f" --state-dir {shlex.quote(str(state_dir))}"
    answer("\nready; Ctrl-C stops it\n")
    for name, value in (
        ("API", f"{addresses.gateway}  (opens in a browser)"),
        ("API key", f"in {key}"),
        *([("owner", owner)] if owner else []),
        ("database", without_password(addresses.database)),
        ("broker", addresses.broker),
        ("storage", f"{addresses.storage or 'AWS'}  bucket {addresses.bucket}"),
    ):
        answer(f"  {name:<8}  {value}")
    answer(f"\nin another terminal:  rowstream upload FILE --record-type TYPE{here}")


def _clock() -> str:
    return time.strftime("%H:%M:%S")
