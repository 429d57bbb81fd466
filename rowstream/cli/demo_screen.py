"""How the demo looks: numbered steps with what each does, marks for what went well, bars where somebody looks."""

import sys
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from rowstream.cli import progress
from rowstream.cli.starting import StartView

_INDENT = 3
_UNLIMITED = 10_000


class Screen:
    """Standard output; plain lines as wide as they need where nobody looks."""

    def __init__(self, console: Console | None = None) -> None:
        width = None if sys.stdout.isatty() else _UNLIMITED
        self._console = console or Console(width=width, highlight=False, soft_wrap=False)
        self._steps = 0

    def title(self, name: str, about: str) -> None:
        """What this is."""
        self._print(Text(name, "bold"), 0)
        self._print(Text(about), 0)

    def step(self, what: str, how: str) -> None:
        """The next thing that is done, and a line on how."""
        self._steps += 1
        self._console.print()
        self._print(Text.assemble((f"{self._steps}  ", "bold cyan"), (what, "bold")), 0)
        self._print(Text(how, "dim"))

    def good(self, text: str) -> None:
        """Something went as it should."""
        self._print(Text.assemble(("✓ ", "green"), text))

    def bad(self, text: str) -> None:
        """Something did not."""
        self._print(Text.assemble(("✗ ", "bold red"), text))

    def say(self, text: str) -> None:
        """Something that is neither."""
        self._print(Text(text))

    def show(self, view: RenderableType) -> None:
        """A table, with air around it."""
        self._console.print()
        self._print(view)

    def commands(self, title: str, lines: dict[str, str]) -> None:
        """Commands to try, and what each does."""
        self._console.print()
        self._print(Text(title, "bold"), 0)
        width = max(map(len, lines))
        for command, about in lines.items():
            self._print(Text.assemble((f"{command:<{width}}", "cyan"), f"  {about}"))

    def progress(self, path: Path, total: int) -> progress.View:
        """The view of an upload of so many bytes."""
        if self._console.is_terminal:
            return progress.Bars(total, self._console)
        return progress.Lines(path.name, total, self.say)

    def starting(self, folder: Path) -> StartView:
        """The view of a system that starts."""
        return StartView(folder, self._console)

    def _print(self, view: RenderableType, indent: int = _INDENT) -> None:
        padded = Padding(view, (0, 0, 0, indent), expand=False)
        if self._console.is_terminal:
            self._console.print(padded)
            return
        with self._console.capture() as capture:
            self._console.print(padded)
        self._console.out("\n".join(line.rstrip() for line in capture.get().splitlines()), highlight=False)
