"""How the demo looks: numbered steps with what each does, marks for what went well, bars where somebody looks."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rowstream.cli import progress
from rowstream.stack.runner import Ended, Event, Ready, Starting, Tell

_INDENT = 3
_UNLIMITED = 10_000


class Screen:
    """Standard output; plain lines as wide as they need where nobody looks."""

    def __init__(self, console: Console | None = None) -> None:
        width = None if sys.stdout.isatty() else _UNLIMITED
        self._console = console or Console(width=width, highlight=False)
        self._steps = 0

    def title(self, name: str, about: str) -> None:
        """What this is."""
        self._print(Text(name, "bold"), 0)
        self._print(Text(about), 0)

    def step(self, what: str, how: str) -> None:
        """The next thing that is done, and a line on how."""
        self._steps += 1
        self._console.print()
        self._print(_beside(Text(str(self._steps), "bold cyan"), Text(what, "bold"), gap=2), 0)
        self._print(Text(how, "dim"))

    def good(self, text: str) -> None:
        """Something went as it should."""
        self._print(_beside(Text("✓", "green"), Text(text)))

    def bad(self, text: str) -> None:
        """Something did not."""
        self._print(_beside(Text("✗", "bold red"), Text(text)))

    def say(self, text: str) -> None:
        """Something that is neither."""
        self._print(Text(text))

    def show(self, view: RenderableType) -> None:
        """A table, with air above it."""
        self._console.print()
        self._print(view)

    def commands(self, title: str, lines: Mapping[str, str]) -> None:
        """Commands to try, and what each does."""
        self._console.print()
        self._print(Text(title, "bold"), 0)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        for command, about in lines.items():
            table.add_row(Text(command, "cyan"), Text(about))
        self._print(table)

    def progress(self, path: Path, total: int) -> progress.View:
        """The view of an upload of so many bytes."""
        if self._console.is_terminal:
            return progress.Bars(total, self._console, indent=_INDENT)
        return progress.Lines(path.name, total, self.say)

    @contextmanager
    def starting(self) -> Iterator[Tell]:
        """Show, while inside, what a system that starts is waiting for; and always, which part ended by itself."""
        missing: list[str] = []
        spinner = Spinner("dots", Text("starting"), style="cyan")

        def tell(event: Event) -> None:
            match event:
                case Starting(parts):
                    missing.extend(parts)
                case Ready(part, _) if part in missing:
                    missing.remove(part)
                case Ended(part, reason, delay, log):
                    self.bad(f"{part} {reason}; it is started again in {delay:.1f} s (log: {log})")
            spinner.update(text=Text(f"waiting for {_briefly(missing)}"))

        with Live(_indented(spinner), console=self._console, transient=True, refresh_per_second=12):
            yield tell

    def _print(self, view: RenderableType, indent: int = _INDENT) -> None:
        padded = _indented(view, indent)
        if self._console.is_terminal:
            self._console.print(padded)
            return
        with self._console.capture() as capture:
            self._console.print(padded)
        self._console.out("\n".join(line.rstrip() for line in capture.get().splitlines()), highlight=False)


def _indented(view: RenderableType, indent: int = _INDENT) -> Padding:
    return Padding(view, (0, 0, 0, indent), expand=False)


def _beside(mark: Text, text: Text, *, gap: int = 1) -> Table:
    """A mark, and a text whose further lines stand below its first one."""
    table = Table.grid(padding=(0, gap, 0, 0))
    table.add_row(mark, text)
    return table


def _briefly(parts: Sequence[str]) -> str:
    return f"{parts[0]} and {len(parts) - 1} more" if len(parts) > 1 else " ".join(parts) or "the last touch"
