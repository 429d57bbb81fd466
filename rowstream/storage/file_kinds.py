"""What a file is that is not text, told by its first bytes, and what its owner can do about it."""

import codecs
import re
from dataclasses import dataclass

SNIFF_BYTES = 8_192
"""Bytes from the start of a file by which its kind is told."""

_CONTROL_CODES = bytes([*range(9), *range(14, 32), 127])
_CONTROL_SHARE = 0.3
"""Of the first bytes. A stray NUL costs its record; a file full of them is no text."""
_UTF16_RATIO = 10
"""Of UTF-16 every other byte is NUL where the text is Latin, and few of those between are."""

_SAVE_AS_CSV = "Open it in a spreadsheet program and save it as “CSV UTF-8”"
_UNPACK = "Unpack it and upload the CSV file inside"
_EXPORT = "Export the records as a CSV file in UTF-8"
_SAVE_AS_UTF8 = "Save it as “CSV UTF-8”, or convert it to UTF-8"


@dataclass(frozen=True, slots=True)
class _Kind:
    magic: bytes
    looks_like: str
    way_out: str


_KINDS = (
    _Kind(codecs.BOM_UTF32_LE, "text in UTF-32", _SAVE_AS_UTF8),  # before UTF-16, whose mark begins the same
    _Kind(codecs.BOM_UTF32_BE, "text in UTF-32", _SAVE_AS_UTF8),
    _Kind(codecs.BOM_UTF16_LE, "text in UTF-16", _SAVE_AS_UTF8),
    _Kind(codecs.BOM_UTF16_BE, "text in UTF-16", _SAVE_AS_UTF8),
    _Kind(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (xls)", _SAVE_AS_CSV),
    _Kind(b"PK\x03\x04", "a ZIP archive", _UNPACK),
    _Kind(b"PK\x05\x06", "an empty ZIP archive", _UNPACK),
    _Kind(b"\x1f\x8b", "gzip", _UNPACK),
    _Kind(b"BZh91AY&SY", "bzip2", _UNPACK),
    _Kind(b"\xfd7zXZ\x00", "xz", _UNPACK),
    _Kind(b"\x28\xb5\x2f\xfd", "zstd", _UNPACK),
    _Kind(b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    _Kind(b"%PDF-", "a PDF document", _EXPORT),
    _Kind(b"\x89PNG\r\n\x1a\n", "a PNG image", _EXPORT),
    _Kind(b"\xff\xd8\xff", "a JPEG image", _EXPORT),
    _Kind(b"GIF8", "a GIF image", _EXPORT),
    _Kind(b"PAR1\x15", "a Parquet file", _EXPORT),
    _Kind(b"ARROW1\x00\x00", "an Arrow file", _EXPORT),
    _Kind(b"Obj\x01", "an Avro file", _EXPORT),
    _Kind(b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    _Kind(b"\x7fELF", "a program", _EXPORT),
    _Kind(b"{\\rtf", "a text document (RTF) and no table", _EXPORT),
    _Kind(b"<?xml ", "XML and no table", _EXPORT),
)
_WORKBOOK = _Kind(b"", "an Excel workbook (xlsx)", _SAVE_AS_CSV)
_UTF16_WITHOUT_MARK = _Kind(b"", "text in UTF-16", _SAVE_AS_UTF8)
_WEB_PAGE = _Kind(b"", "a web page (HTML) and no table", _EXPORT)
_BINARY = _Kind(b"", "a binary file: many of its first bytes are no characters", _EXPORT)


_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)
"""What a server gives in place of a file that one must log in for, or that is not there."""


def what_is_no_text(start: bytes) -> str | None:
    """What a file that is no table of UTF-8 text looks like, and the way out, in sentences; None if it may be one.

    Args:
        start: The file's first `SNIFF_BYTES` bytes, or all of them.
    """
    kind = _kind_of(start)
    return None if kind is None else f"it looks like {kind.looks_like}. {kind.way_out}"


def _kind_of(start: bytes) -> _Kind | None:
    for kind in _KINDS:
        if start.startswith(kind.magic):
            inside_workbook = kind.magic == b"PK\x03\x04" and (b"[Content_Types].xml" in start or b"xl/" in start)
            return _WORKBOOK if inside_workbook else kind
    if _HTML.match(start):
        return _WEB_PAGE
    if len(start) - len(start.translate(None, _CONTROL_CODES)) <= _CONTROL_SHARE * len(start):
        return None
    fewer, more = sorted((start[0::2].count(0), start[1::2].count(0)))
    return _UTF16_WITHOUT_MARK if more > _CONTROL_SHARE * len(start) and more > _UTF16_RATIO * fewer else _BINARY
