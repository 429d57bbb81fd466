"""Finds the lines of a doubtful stretch that are clean each by itself, so that only the others need careful reading.

A line is clean by itself if, read from outside quotes, it is one whole record that both readers see alike: what
`blocks.prove` asks of a stretch, asked of each line. Whether reading really stands outside quotes at its start depends
on the lines before it; that is for the caller to know (`mixed_reader`).
"""

import codecs
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from splitter.blocks import MAY_FOLLOW_CLOSING, MAY_PRECEDE_OPENING, Codes, Positions

_NEWLINE, _CARRIAGE_RETURN, _QUOTE = b'\n\r"'
_BOM_START = codecs.BOM_UTF8[0]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a stretch that end in it with LF.

    Attributes:
        starts: Where each begins.
        ends: Where its LF stands.
        doubtful: Indexes of the lines that are not clean by themselves, ascending.
    """

    starts: Positions
    ends: Positions
    doubtful: Positions


def find_lines(data: memoryview, *, max_record_bytes: int, at_most: int) -> Lines:
    """Judge the first `at_most` lines of `data`, which begins where a line does."""
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == _NEWLINE)[:at_most]
    if not ends.size:
        return Lines(ends, ends, ends)
    codes = codes[: int(ends[-1]) + 1]
    starts = np.concatenate(([0], ends[:-1] + 1))
    first = codes[starts]
    bad = (ends - starts > max_record_bytes) | (first == _NEWLINE) | (first == _CARRIAGE_RETURN) | (first == _BOM_START)
    for positions in (_bad_quotes(codes, starts, ends), _bad_characters(codes), _bad_text(data[: codes.size], ends)):
        bad[np.searchsorted(ends, positions)] = True
    return Lines(starts, ends, np.flatnonzero(bad))


def _bad_quotes(codes: Codes, starts: Positions, ends: Positions) -> Positions:
    """Quotes that do not open or close where RFC 4180 lets them, and one of each line that has an odd number."""
    quotes = np.flatnonzero(codes == _QUOTE)
    if not quotes.size:
        return quotes
    line = np.searchsorted(ends, quotes)
    first_of_line = np.searchsorted(quotes, starts)
    opens = (np.arange(quotes.size) - first_of_line[line]) % 2 == 0
    before, after = codes[quotes - 1], codes[quotes + 1]  # a line ends with LF, so something follows each quote
    strict = np.where(opens, MAY_PRECEDE_OPENING[before] | (quotes == starts[line]), MAY_FOLLOW_CLOSING[after])
    last_of_line = np.append(line[1:] != line[:-1], True)
    bad: Positions = quotes[~strict | (last_of_line & opens)]
    return bad


def _bad_characters(codes: Codes) -> Positions:
    """NUL, and CR but before LF."""
    returns = np.flatnonzero(codes == _CARRIAGE_RETURN)
    lone = returns[codes[returns + 1] != _NEWLINE]
    return np.concatenate((np.flatnonzero(codes == 0), lone))


def _bad_text(data: memoryview, ends: Positions) -> Positions:
    """The first byte of each line that is not UTF-8, of those lines that are not."""
    found: list[int] = []
    at = 0
    while at < len(data):
        try:
            codecs.utf_8_decode(data[at:], "strict", True)  # noqa: FBT003 - it takes no keywords
            break
        except UnicodeDecodeError as error:
            found.append(at + error.start)
            at = int(ends[np.searchsorted(ends, found[-1])]) + 1
    positions: npt.NDArray[np.intp] = np.array(found, np.intp)
    return positions
