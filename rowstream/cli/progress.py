"""Shows an upload on its way: bars where a person looks, a line now and then where nobody does, or nothing."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rowstream.cli.figures import ENDED, Figures, Speed, Stillness, figures
from rowstream.cli.output import note
from rowstream.cli.words import count, counted, rough, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_LINE_EVERY = 5.0
_STILL_SECONDS = 60.0
_ADVICE = "nothing moves; `rowstream doctor` may say why"
_BAR_WIDTH = 28
_SENDING, _SPLITTING, _LOADING = "sending", "splitting", "loading"


class View:
    """Somebody who looks at one upload, inside `with`. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.end()

    def sent(self, done: int) -> None:
        """So many bytes of the file were sent; the first call says how many were before, by an upload that broke off.

        Those are 0 for one that begins.
        """

    def seen(self, upload: Mapping[str, Any]) -> None:
        """The API shows the upload so."""

    def end(self) -> None:
        """Nothing is shown any more."""


class Lines(View):
    """A line every few seconds, for logs; every minute while nothing moves.

    `say` takes each line, and `clock` gives seconds.
    """

    def __init__(
        self, name: str, total: int, say: Callable[[str], None] = note, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._total, self._say, self._clock = name, total, say, clock
        self._last = clock()
        self._speed = Speed()
        self._stillness = Stillness()
        self._said = ""
        self._begun = False

    def sent(self, done: int) -> None:
        """Say how far the file is on its way to the object store, and at first what was there from before."""
        first, self._begun = not self._begun, True
        if first and done:
            self._say(f"{self._name}: going on; {size(done)} of {size(self._total)} were sent before")
            self._last = self._clock()
        elif done == self._total:
            self._say(f"{self._name}: {size(done)} sent")
            self._last = self._clock()
        else:
            self._sometimes(f"{self._name}: {size(done)} of {size(self._total)} sent")

    def seen(self, upload: Mapping[str, Any]) -> None:
        """Say what became of the records so far."""
        now = figures(upload)
        self._speed.saw(self._clock(), now.done)
        if now.status not in ENDED:
            line = f"{self._name}: {count(now.split)} split, {outcome(now)}"
            self._sometimes(line, pace(now, self._speed) or advice(now, self._stillness.saw(self._clock(), now)))

    def _sometimes(self, line: str, speed: str = "") -> None:
        wait = _STILL_SECONDS if line == self._said else _LINE_EVERY
        if self._clock() - self._last >= wait:
            self._say(line + speed)
            self._last, self._said = self._clock(), line


class Bars(View):
    """Three bars on a terminal: the file on its way to the store, cut into records, and their outcomes."""

    def __init__(self, total: int, console: "Console", *, indent: int = 0) -> None:
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only where somebody looks

        self._progress = Progress(
            TextColumn(f"{' ' * indent}{{task.description:<9}}"),
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
        )
        self._total = total
        self._begun = time.monotonic()
        self._speed = Speed()
        self._stillness = Stillness()
        self._tasks: dict[str, TaskID] = {}
        self._sent_before: int | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def end(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def sent(self, done: int) -> None:
        """Move the first bar."""
        if self._sent_before is None:
            self._sent_before = done
        seconds, now = time.monotonic() - self._begun, done - self._sent_before
        fast = f" · {size(round(now / seconds))}/s" if now > 0 and seconds > 0 else ""
        of = "" if done == self._total else f" of {size(self._total)}"
        self._move(_SENDING, done, self._total, f"{size(done)}{of}{fast}")

    def seen(self, upload: Mapping[str, Any]) -> None:
        """Move the second and the third bar."""
        now = figures(upload)
        self._speed.saw(time.monotonic(), now.done)
        self._move(_SPLITTING, now.read, now.size, counted(now.split, "record"))
        still = self._stillness.saw(time.monotonic(), now)
        last = "" if now.status in ENDED else pace(now, self._speed) or advice(now, still)
        self._move(_LOADING, now.done, now.expected, outcome(now) + last)

    def _move(self, step: str, done: int, total: int | None, said: str) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total, said=said)
        # A bar of nothing is full: an empty file was sent, a file without records was loaded.
        done, total = (1, 1) if total == 0 else (done, total)
        self._progress.update(self._tasks[step], completed=done, total=total, said=said)


def outcome(now: Figures) -> str:
    """`205,000 loaded · 1,204 rejected`, and what is out of the ordinary."""
    said = [f"{count(now.loaded)} loaded", f"{count(now.rejected)} rejected"]
    if now.status == "paused":
        said.append("paused")
    return " · ".join(said)


def pace(now: Figures, speed: Speed) -> str:
    """` · 52,310/s · 3 s left`, as far as it can be told."""
    fast = speed.per_second()
    if not fast:
        return ""
    left = speed.seconds_left(now.expected - now.done) if now.expected is not None else None
    return f" · {round(fast):,}/s" + (f" · {rough(max(left, 1.0))} left" if left is not None else "")


def advice(now: Figures, still: float) -> str:
    """What to do about an upload that has stood still for so many seconds; nothing about one that somebody paused."""
    return f" · {_ADVICE}" if still >= _STILL_SECONDS and now.status != "paused" else ""


def view(name: str, total: int, *, silent: bool, console: "Console | None" = None) -> View:
    """The view that fits: nothing if `silent`, bars where the console is a terminal (stderr by default), else lines."""
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks

    if silent:
        return View()
    console = console or Console(stderr=True)
    return Bars(total, console) if console.is_terminal else Lines(name, total)
