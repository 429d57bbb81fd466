r"""The rejected records of an upload as files: CSV for spreadsheets, JSON lines for programs. Pure, page by page.

The CSV has the file's own headers in file order, then row_number, error_code and error_message, so that it can be
corrected and handed in again. A record that could not be parsed has no cells: its line stands, as it came, at the end
of error_message.

A cell that a spreadsheet would run as a formula gets a leading apostrophe; the splitter takes it away again.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rowstream.records.formulas import defused

OWN_COLUMNS = ("row_number", "error_code", "error_message")
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def report_headers(headers: Sequence[str]) -> tuple[str, ...]:
    """The file's headers in a report; those of an earlier report, handed in again, are not repeated."""
    if set(OWN_COLUMNS) <= set(headers):
        return tuple(header for header in headers if header not in OWN_COLUMNS)
    return tuple(headers)


def csv_pages(pages: Iterable[Sequence[Mapping[str, Any]]], headers: Sequence[str]) -> Iterator[bytes]:
    """The report as CSV (RFC 4180, UTF-8): the header, then one piece for each page of rejections."""
    names = report_headers(headers)
    yield _csv_bytes([[*map(defused, names), *OWN_COLUMNS]])
    for page in pages:
        yield _csv_bytes(_csv_row(rejection, names) for rejection in page)


def json_pages(pages: Iterable[Sequence[Mapping[str, Any]]], headers: Sequence[str]) -> Iterator[bytes]:
    """The report as JSON lines: one object a rejection, as the API shows it, one piece for each page."""
    for page in pages:
        lines = (json.dumps(shown(rejection, headers), ensure_ascii=False) + "\n" for rejection in page)
        yield "".join(lines).encode()


def shown(rejection: Mapping[str, Any], headers: Sequence[str]) -> dict[str, Any]:
    """A rejection with its cells in file order, which jsonb does not keep."""
    cells = rejection["row_data"]
    if cells is not None:
        ordered = {header: cells[header] for header in headers if header in cells}
        cells = {**ordered, **cells}
    return {**rejection, "row_data": cells}


def attachment(filename: str, ending: str) -> str:
    """A Content-Disposition for the report on a file of this name, which may be anything (RFC 6266)."""
    stem = f"errors-{filename.rpartition('.')[0] or filename}"
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = _UNSAFE_IN_NAME.sub("_", plain)[:100]
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(stem[:100], safe='')}.{ending}"


def _csv_row(rejection: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    cells = rejection["row_data"] or {}
    message = rejection["error_message"]
    if rejection["raw_text"] is not None:
        message = f"{message}; the line reads: {rejection['raw_text']}"
    own = (str(rejection["row_number"]), rejection["error_code"], defused(message))
    return [*(defused(cells.get(name) or "") for name in names), *own]


def _csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
