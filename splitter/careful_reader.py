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

import numpy as np
import pyarrow as pa

from splitter.batch import MAX_BATCH_RECORDS, Batch, ParseRejection, make_records, raw_text, wrong_count
from splitter.grammar import BadRecord, LineEnds, Spans, after_line_end, blank_lines, cells_of, find, find_record
from splitter.header import Header
from splitter.limits import Limits
from splitter.lookahead import Lookahead


class CarefulReader:
    """Reads record by record, as far as it is asked to.

    Attributes:
        at: Where in the source's data the next record or blank line begins; may be moved on to another record's start.
        row: The row number of that record; to be moved with it.
    """

    def __init__(self, source: Lookahead, first_row: int, header: Header, limits: Limits) -> None:
        """The source must stand at a record's start and hold `limits.lookahead_bytes` beyond every step's start."""
        self.at = source.at
        self.row = first_row
        self._source, self._header, self._limits = source, header, limits
        self._data = source.data
        self._line_ends = LineEnds(source.data)
        self._quote = -1
        self._skip_from: int | None = None
        self._row_numbers: list[int] = []
        self._cells: list[str] = []  # of all records, one after the other: no list a record to keep
        self._rejections: list[ParseRejection] = []

    @property
    def full(self) -> bool:
        """Whether there are as many records as a batch may have."""
        return len(self._row_numbers) + len(self._rejections) >= MAX_BATCH_RECORDS

    def step(self, stop: int | None = None) -> bool:
        """Read the record, or the blank lines up to `stop`, that begin here; False where the data held ends within.

        After False nothing but `leave` and `batch` may be called.
        """
        data, at, limits = self._data, self.at, self._limits
        line_end = self._line_ends.after(at)
        if line_end == at:
            self.at, blank = blank_lines(data, at, at + 1 if stop is None else stop)
            self.row += blank
            return True
        if self._quote < at:
            self._quote = find(data, b'"', at)
        if self._quote > line_end and line_end - at <= limits.max_record_bytes:
            self._add(at, line_end, [])
            self.at = after_line_end(data, line_end)
            return True
        found = find_record(self._line_ends, at, limits.max_record_bytes)
        if isinstance(found, BadRecord):
            line_end = self._line_ends.after(found.resume)
            raw = raw_text(data[at:line_end], limits)
            self._rejections.append(ParseRejection(self.row, found.code, found.message, raw))
            self.row += 1
            if line_end + 1 >= len(data):  # the line, or its CRLF, may go on beyond what is held
                self._skip_from = line_end
                return False
            self.at = after_line_end(data, line_end)
        else:
            end, spans = found
            self._add(at, end, spans)
            self.at = after_line_end(data, end)
        return True

    def read_until(self, stop: int) -> None:
        """Read what begins before `stop`, or as much as a batch may have."""
        while self.at < stop and not self.full and self.step(stop):
            pass

    def leave(self) -> None:
        """Let the source stand where this reader does."""
        if self._skip_from is None:
            self._source.advance_to(self.at)
        else:
            self._source.skip_line(self._skip_from)

    def batch(self) -> Batch:
        """The records in columns, and the rejections."""
        cells = [pa.array(self._cells[position :: self._header.width], pa.utf8()) for position in self._header.kept]
        return Batch(make_records(np.array(self._row_numbers, np.int64), cells), self._rejections)

    def _add(self, start: int, end: int, spans: Spans) -> None:
        """Takes the record between two positions, or rejects it."""
        raw = self._data[start:end]
        try:
            cells = cells_of(self._data, start, end, spans) if spans else raw.decode().split(",")
        except UnicodeDecodeError:
            cells = None
        if cells is None or b"\0" in raw:
            self._rejections.append(_not_text(self.row, raw, self._limits))
        elif len(cells) != self._header.width:
            self._rejections.append(wrong_count(self.row, len(cells), self._header.width, raw, self._limits))
        else:
            self._row_numbers.append(self.row)
            self._cells += cells
        self.row += 1


def _not_text(row_number: int, raw: bytes, limits: Limits) -> ParseRejection:
    try:
        raw.decode()
        message = f"byte {raw.index(0) + 1} of the record is NUL, which no text has"
    except UnicodeDecodeError as error:
        message = (
            f"byte {error.start + 1} of the record, 0x{raw[error.start]:02X}, is not UTF-8: save the file as UTF-8"
        )
    return ParseRejection(row_number, "VAL_007", message, raw_text(raw, limits))
