"""Where a record ends and what its cells are: pure functions over bytes, by the rules of `careful_reader`."""

import re
from dataclasses import dataclass

_CELL_INSIDE = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
"""What stands between a cell's quotes; possessive, so that a quote that never closes costs one pass."""

_LINE_ENDS = re.compile(rb"[\r\n]++")

Spans = list[tuple[int, int]]
"""Positions of the opening and the closing quote of each quoted cell."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record without a usable end.

    Attributes:
        code: `VAL_008` or `VAL_009`.
        message: For people.
        resume: Reading goes on after the first physical line end at or after this position.
    """

    code: str
    message: str
    resume: int


class LineEnds:
    """The physical line ends of `data`, to be asked for at positions that never fall: all of them cost one pass."""

    __slots__ = ("_carriage_return", "_newline", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._newline = -1
        self._carriage_return = -1

    def after(self, position: int) -> int:
        """Where the first LF or CR at or after that position stands, or the length of `data`."""
        newline, carriage_return = self._newline, self._carriage_return
        if newline < position:
            self._newline = newline = find(self.data, b"\n", position)
        if carriage_return < position:
            self._carriage_return = carriage_return = find(self.data, b"\r", position)
        return newline if newline < carriage_return else carriage_return  # noqa: FURB136 - min() takes twice as long


def find(data: bytes, text: bytes, start: int) -> int:
    """Where `text` stands first at or after `start`, or the length of `data`."""
    found = data.find(text, start)
    return len(data) if found < 0 else found


def after_line_end(data: bytes, end: int) -> int:
    """Where the next line begins, if a line end (or the end of `data`) stands at `end`."""
    if data[end : end + 2] == b"\r\n":
        return end + 2
    return min(end + 1, len(data))


def blank_lines(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """The blank lines from a line's start on that begin before `stop`: where the next line begins, and how many.

    A CRLF is only known as one if `data` reaches beyond `stop`, or ends with the file.
    """
    match = _LINE_ENDS.match(data, start, stop)
    if match is None:
        return start, 0
    end = match.end()
    if data[end - 1 : end + 1] == b"\r\n":
        end += 1
    return end, data.count(b"\n", start, end) + data.count(b"\r", start, end) - data.count(b"\r\n", start, end)


def find_record(line_ends: LineEnds, start: int, limit: int) -> tuple[int, Spans] | BadRecord:
    """The record that begins at `start`: where it ends (before its line end) and its quoted cells.

    `line_ends.data` must hold `limit` + 2 bytes from `start` on, unless the file ends in it.
    """
    data = line_ends.data
    bound = start + limit  # the position of the first byte too many
    spans: Spans = []
    at = start
    while True:
        if at < bound and data[at : at + 1] == b'"':
            closing = _CELL_INSIDE.match(data, at + 1, bound).end()  # type: ignore[union-attr]  # it matches nothing, too
            following = data[closing + 1 : closing + 2]
            if problem := _bad_quote(data, closing, following, bound, limit):
                return BadRecord("VAL_008", problem, at)
            spans.append((at, closing))
            if following != b",":
                return closing + 1, spans
            at = closing + 2
        else:
            line_end = line_ends.after(at)
            comma = data.find(b',"', at, line_end if line_end < bound else bound)  # noqa: FURB136 - as above
            if comma < 0:
                if line_end <= bound:
                    return line_end, spans
                break
            at = comma + 1
        if at > bound:
            break
    return BadRecord("VAL_009", f"the record is longer than {limit} bytes, the most that a record may have", bound)


def cells_of(data: bytes, start: int, end: int, spans: Spans) -> list[str]:
    """The cells of the record between two positions.

    Raises:
        UnicodeDecodeError: The record is not UTF-8.
    """
    cells: list[str] = []
    at = start
    for opening, closing in spans:
        if opening > at:
            cells += data[at : opening - 1].decode().split(",")
        cells.append(data[opening + 1 : closing].decode().replace('""', '"'))
        at = closing + 2
    if at <= end:
        cells += data[at:end].decode().split(",")
    return cells


def _bad_quote(data: bytes, closing: int, following: bytes, bound: int, limit: int) -> str | None:
    """What is wrong with a quoted cell whose closing quote is looked for at `closing`, or None."""
    if closing >= len(data):
        return "a quote is opened and never closed: the file ends before"
    if closing >= bound or following == b'"':  # a quote doubled across the bound
        return f"a quote is opened and not closed within {limit} bytes, the most that a record may have"
    if following not in (b"", b",", b"\r", b"\n"):
        return (
            "a quoted cell goes on behind its closing quote: a quote that belongs to the cell must be doubled, "
            "and a comma or a line end must follow the closing one"
        )
    return None
