"""Proves that a stretch of a file is clean: that the fast reader will read it exactly as the careful one would.

Clean is UTF-8 without NUL, without blank lines, without lone CR, without a record above the limit, and with quotes that
follow RFC 4180 strictly. For the quotes looking at each one's neighbours is not enough, and neither is counting them: a
forgotten quote can be closed by a later one and leave a record that looks valid. Both together are enough: every quote
of even index must stand where a cell begins (or double the one before it), every odd one where a cell ends (or be
doubled by the next). By induction over the quotes the even ones then open and the odd ones close, and a newline stands
outside quotes exactly if an even number of quotes precedes it.
"""

import codecs
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from splitter.batch import MAX_BATCH_RECORDS

Positions = npt.NDArray[np.intp]
Codes = npt.NDArray[np.uint8]

_NEWLINE, _CARRIAGE_RETURN, _QUOTE = b'\n\r"'


def _table(characters: bytes) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


MAY_PRECEDE_OPENING = _table(b',\n"')
MAY_FOLLOW_CLOSING = _table(b',\r\n"')


@dataclass(frozen=True, slots=True)
class CleanBlock:
    """Whole records, proved clean.

    Attributes:
        data: The bytes; the block is the first `size` of them.
        size: Bytes, the last line end included.
        ends: Where each record's newline stands, or `size` for a last one without.
    """

    data: bytes
    size: int
    ends: Positions

    def raw_record(self, index: int) -> bytes:
        """The bytes of one record, without its line end."""
        start = self.ends[index - 1] + 1 if index else 0
        return self.data[start : self.ends[index]].removesuffix(b"\r")


def prove(data: bytes, *, last: bool, max_record_bytes: int) -> CleanBlock | None:
    """The whole records at the start of `data`, if they are clean; None if they are doubtful, or if there are none.

    Args:
        data: Begins where a record does.
        last: Nothing follows `data`, so its last record may lack a line end.
        max_record_bytes: The longest record, without its line end, that is clean.
    """
    if data.startswith(codecs.BOM_UTF8):  # the fast reader would take it for the file's and drop it
        return None
    codes = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    ends = _record_ends(codes, quotes, last=last)[:MAX_BATCH_RECORDS]
    if not ends.size:
        return None
    size = min(int(ends[-1]) + 1, len(data))
    starts = np.concatenate(([0], ends[:-1] + 1))
    clean = (
        (ends - starts).max() <= max_record_bytes
        and not _any_blank(codes[starts])
        and _quotes_are_strict(codes[:size], quotes[: np.searchsorted(quotes, size)])
        and _is_plain_text(data, size)
    )
    return CleanBlock(data, size, ends) if clean else None


def _record_ends(codes: Codes, quotes: Positions, *, last: bool) -> Positions:
    newlines = np.flatnonzero(codes == _NEWLINE)
    if quotes.size:
        newlines = newlines[np.searchsorted(quotes, newlines) & 1 == 0]
    if last and codes.size and not (newlines.size and newlines[-1] == codes.size - 1):
        return np.append(newlines, codes.size)
    return newlines


def _any_blank(first_codes: Codes) -> bool:
    """Whether a record begins with a line end; a CR counts, as lone ones are not clean anyway."""
    return bool(((first_codes == _NEWLINE) | (first_codes == _CARRIAGE_RETURN)).any())


def _quotes_are_strict(codes: Codes, quotes: Positions) -> bool:
    if quotes.size % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    if opening.size and opening[0] == 0:
        opening = opening[1:]
    if closing.size and closing[-1] == codes.size - 1:
        closing = closing[:-1]
    return bool(MAY_PRECEDE_OPENING[codes[opening - 1]].all() and MAY_FOLLOW_CLOSING[codes[closing + 1]].all())


def _is_plain_text(data: bytes, size: int) -> bool:
    """UTF-8 with no NUL, and no CR but before LF."""
    if data.find(0, 0, size) >= 0:
        return False
    if data.find(b"\r", 0, size) >= 0 and data.count(b"\r", 0, size) != data.count(b"\r\n", 0, size):
        return False
    if data.isascii():
        return True
    try:
        data[:size].decode()
    except UnicodeDecodeError:
        return False
    return True
