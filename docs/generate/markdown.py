"""Pieces of Markdown."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields):")
_ITEM = re.compile(r"(?P<name>[\w*, ]+): (?P<text>.*)")


def document(title: str, source: str, *blocks: str) -> str:
    """A whole page; `source` says which part of the code it is made from."""
    note = f"<!-- Made from {source} by `make docs`. Change the code, not this page. -->"
    return "\n\n".join([note, f"# {title}", *filter(None, blocks)]) + "\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing when it has no rows. A column whose cells are all empty is left out."""
    lines = [[_cell(cell) for cell in row] for row in rows]
    used = [place for place in range(len(headers)) if place == 0 or any(line[place] for line in lines)]
    drawn = [
        [headers[place] for place in used],
        ["---"] * len(used),
        *([line[place] for place in used] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in drawn) if lines else ""


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def fenced(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"


def code(text: object) -> str:
    """A piece of code in a line; nothing for nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def prose(text: str | None) -> str:
    """Text of a docstring or a help: paragraphs on one line each, sections in Google's style as lists."""
    return "\n\n".join(_blocks(inspect.cleandoc(text or "").splitlines()))


def one_line(text: str | None) -> str:
    """A text in one line."""
    return " ".join((text or "").split())


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    for filled, group in groupby(_with_breaks(lines), key=bool):
        if not filled:
            continue
        block = list(group)
        if section := _SECTION.fullmatch(block[0]):
            yield f"{section[1]}:\n\n{bullets(_items(block[1:]))}"
        else:
            yield one_line("\n".join(block))


def _with_breaks(lines: Sequence[str]) -> Iterator[str]:
    """The lines, with a blank one before each section."""
    for line in lines:
        if _SECTION.fullmatch(line):
            yield ""
        yield line


def _items(lines: Sequence[str]) -> Iterator[str]:
    """The entries of a section; a line that is indented further goes on with the one before it."""
    entries: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line)
    for entry in entries:
        match = _ITEM.fullmatch(entry)
        yield f"{code(match['name'])}: {match['text']}" if match else entry


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")
