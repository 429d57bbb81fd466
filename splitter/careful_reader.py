"""The careful reader: any bytes at all, record by record, by these rules.

- The file is UTF-8 with commas between cells. A line ends at LF, CRLF or a lone CR. A line with nothing before its end
  is blank: it counts as a row and is no record. A record counts as one row, however many line ends its quotes hold.
- A cell that begins with a quote is quoted: a doubled quote in it stands for one, and it must close at a quote that a
  comma, a line end or the end of the file follows. A quote anywhere else in a cell is a character like any other.
- A quoted cell whose closing quote is followed by anything else, that meets the end of the file, or inside which the
  record passes its limit, makes a bad line (`VAL_008`): all from the record's start to the end of the physical line on
  which that cell opened is one rejection, and reading resumes on the next physical line. So a forgotten quote costs one
  line and not the rest of the file.
- A record that passes its limit outside quotes is rejected (`VAL_009`), and reading resumes after the first physical
  line end from there on.
- A record with bytes that are not UTF-8, or with NUL, is rejected (`VAL_007`); otherwise one that has not as many cells
  as the header (`VAL_006`).

What comes out depends on the bytes and the limits only, never on where a stretch begins or how the stream was chopped.

A quote that never closes is searched for as far as the limit, and then reading goes back to the next line. That stays
linear: what was searched in vain holds no single quote, so no cell that begins in it can be searched for as far again.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from splitter.batch import MAX_BATCH_RECORDS, Batch, ParseRejection, make_records, raw_text, wrong_count
from splitter.grammar import BadRecord, LineEnds, Spans, after_line_end, blank_lines, cells_of, find, find_record
from splitter.header import Header
from splitter.limits import Limits
from splitter.lookahead import Lookahead


@dataclass(slots=True)
class _Stretch:
    """What was found so far, and the row number of the next record."""

    row: int
    header: Header
    limits: Limits
    row_numbers: list[int] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)  # of all records, one after the other: no list a record to keep
    rejections: list[ParseRejection] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.row_numbers) + len(self.rejections) >= MAX_BATCH_RECORDS

    def add(self, data: bytes, start: int, end: int, spans: Spans) -> None:
        """Takes the record between two positions, or rejects it."""
        raw = data[start:end]
        try:
            cells = cells_of(data, start, end, spans) if spans else raw.decode().split(",")
        except UnicodeDecodeError:
            cells = None
        if cells is None or b"\0" in raw:
            self.rejections.append(_not_text(self.row, raw, self.limits))
        elif len(cells) != self.header.width:
            self.rejections.append(wrong_count(self.row, len(cells), self.header.width, raw, self.limits))
        else:
            self.row_numbers.append(self.row)
            self.cells += cells
        self.row += 1

    def reject(self, bad: BadRecord, raw: bytes) -> None:
        """Rejects a record without a usable end."""
        self.rejections.append(ParseRejection(self.row, bad.code, bad.message, raw_text(raw, self.limits)))
        self.row += 1

    def batch(self) -> Batch:
        """The records in columns."""
        cells = [pa.array(self.cells[position :: self.header.width], pa.utf8()) for position in self.header.kept]
        return Batch(make_records(np.array(self.row_numbers, np.int64), cells), self.rejections)


def read_carefully(source: Lookahead, first_row: int, size: int, header: Header, limits: Limits) -> tuple[Batch, int]:
    """Reads the records that begin in the next `size` bytes, or the first `MAX_BATCH_RECORDS` of them.

    The source must stand at a record's start, and stands at one afterwards. The memory taken follows from `size` and
    the limits, however long a line or a quoted cell is.

    Returns:
        The records (perhaps none), and the row number of the one that comes next.
    """
    source.fill(size + limits.lookahead_bytes)
    data, at = source.data, source.at
    stop = min(at + size, len(data))
    stretch = _Stretch(first_row, header, limits)
    line_ends = LineEnds(data)
    quote = -1
    while at < stop and not stretch.full:
        line_end = line_ends.after(at)
        if line_end == at:
            at, blank = blank_lines(data, at, stop)
            stretch.row += blank
            continue
        if quote < at:
            quote = find(data, b'"', at)
        if quote > line_end and line_end - at <= limits.max_record_bytes:
            stretch.add(data, at, line_end, [])
            at = after_line_end(data, line_end)
            continue
        found = find_record(line_ends, at, limits.max_record_bytes)
        if isinstance(found, BadRecord):
            line_end = line_ends.after(found.resume)
            stretch.reject(found, data[at:line_end])
            if line_end + 1 >= len(data):  # the line, or its CRLF, may go on beyond what is held
                source.skip_line(line_end)
                return stretch.batch(), stretch.row
            at = after_line_end(data, line_end)
        else:
            end, spans = found
            stretch.add(data, at, end, spans)
            at = after_line_end(data, end)
    source.advance_to(at)
    return stretch.batch(), stretch.row


def _not_text(row_number: int, raw: bytes, limits: Limits) -> ParseRejection:
    try:
        raw.decode()
        message = f"Byte {raw.index(0) + 1} of the record is NUL, which no text has"
    except UnicodeDecodeError as error:
        message = (
            f"Byte {error.start + 1} of the record, 0x{raw[error.start]:02X}, is not UTF-8: save the file as UTF-8"
        )
    return ParseRejection(row_number, "VAL_007", message, raw_text(raw, limits))
