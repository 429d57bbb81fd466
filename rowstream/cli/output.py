"""What commands print: answers on stdout, everything else (progress, notes, errors) on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_UNLIMITED = 10_000


def answer(text: str) -> None:
    """One line of the command's answer, at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - printing is what a command line does


def answer_json(value: object) -> None:
    """The command's answer as one JSON value on one line; what JSON cannot say (times, ids) as text."""
    answer(json.dumps(value, default=_as_text))


def _as_text(value: object) -> str:
    """Times as the API writes them, all else as it is printed."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def note(text: str) -> None:
    """A line that is not the answer: progress, a warning, an error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - as above


def answer_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The command's answer as a table; as wide as it needs where nobody looks, so that a pipe gets whole lines.

    Args:
        headers: of the columns; none for a table whose first column says what the line is.
        rows: as many cells each as there are columns.
    """
    table = Table(*headers, box=None, header_style="bold", pad_edge=False, show_header=bool(headers))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    answer_rich(table)


def answer_rich(view: RenderableType) -> None:
    """The command's answer as rich shows it; in a pipe as wide as it needs, in whole lines without padding."""
    if sys.stdout.isatty():
        Console(highlight=False).print(view)
        return
    console = Console(width=_UNLIMITED, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(view)
    for line in capture.get().splitlines():
        answer(line.rstrip())
