"""An independent reading of a CSV file, character by character, to hold the project's readers against.

It imports nothing of the project, holds the whole file in memory and takes its time. The rules that it follows are
those of the splitter's careful reader.
"""

from dataclasses import dataclass, field

COMMA, QUOTE, LF, CR = b',"\n\r'
CELL, UNQUOTED, INSIDE, CLOSED = "a cell begins", "in a cell", "in a quoted cell", "after a quote in a quoted cell"
END, BAD = "the record ends", "a quote is bad"


@dataclass
class Read:
    """What a file holds: rows by number, and rejections as (row number, code, raw text)."""

    header: list[str] | None = None
    records: list[tuple[int, list[str]]] = field(default_factory=list)
    rejections: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass
class _Record:
    cells: list[bytes]
    end: int  # before its line end
    fault: str | None = None
    fault_at: int = 0


def read(data: bytes, max_record_bytes: int, max_header_bytes: int, max_raw_chars: int) -> Read:
    """Reads a file; without a header that can be read there is nothing else."""
    result = Read()
    at = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    row = 1
    while at < len(data):
        if data[at] in (LF, CR):
            at = _next_line(data, at)
            row += 1
            continue
        first = result.header is None
        record = _record(data, at, max_header_bytes if first else max_record_bytes)
        end = _line_end(data, record.fault_at) if record.fault else record.end
        raw = data[at:end]
        if first:
            if record.fault or not _is_text(raw):
                return result
            result.header = [cell.decode() for cell in record.cells]
        elif record.fault:
            result.rejections.append((row, record.fault, _shown(raw, max_raw_chars)))
        elif not _is_text(raw):
            result.rejections.append((row, "VAL_007", _shown(raw, max_raw_chars)))
        elif len(record.cells) != len(result.header or []):
            result.rejections.append((row, "VAL_006", _shown(raw, max_raw_chars)))
        else:
            result.records.append((row, [cell.decode() for cell in record.cells]))
        at = _next_line(data, end)
        row += 1
    return result


def _record(data: bytes, start: int, limit: int) -> _Record:
    """One record, one byte a step; the limit is looked at before a byte is taken."""
    cells: list[bytes] = []
    cell = bytearray()
    state, opened, at = CELL, start, start
    while True:
        byte = data[at] if at < len(data) else None
        after = _step(state, byte)
        if after == END:
            return _Record([*cells, bytes(cell)], at)
        in_quotes = state == INSIDE or (state, after) == (CLOSED, INSIDE)
        if after == BAD or (at - start >= limit and in_quotes):
            return _Record(cells, at, "VAL_008", opened)
        if at - start >= limit:
            return _Record(cells, at, "VAL_009", at)
        if after == CELL:
            cells.append(bytes(cell))
            cell.clear()
        elif (state, after) == (CELL, INSIDE):
            opened = at
        elif after != CLOSED:
            cell.append(byte or 0)
        state = after
        at += 1


def _step(state: str, byte: int | None) -> str:
    """The state after a byte, or after the end of the file."""
    if state == INSIDE:
        return BAD if byte is None else CLOSED if byte == QUOTE else INSIDE
    if byte in (None, LF, CR):
        return END
    if byte == COMMA:
        return CELL
    if state == CLOSED:
        return INSIDE if byte == QUOTE else BAD
    return INSIDE if (state, byte) == (CELL, QUOTE) else UNQUOTED


def _line_end(data: bytes, at: int) -> int:
    while at < len(data) and data[at] not in (LF, CR):
        at += 1
    return at


def _next_line(data: bytes, end: int) -> int:
    return end + 2 if data[end : end + 2] == b"\r\n" else end + 1


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode()
    except UnicodeDecodeError:
        return False


def _shown(raw: bytes, limit: int) -> str:
    text = "".join(
        f"\\x{ord(character) & 0xFF:02x}" if character == "\0" or "\udc80" <= character <= "\udcff" else character
        for character in raw.decode("utf-8", "surrogateescape")
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"
