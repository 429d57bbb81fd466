import io
import random
import zipfile

import pytest

from rowstream.storage.file_kinds import SNIFF_BYTES, what_is_no_text


def workbook() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return packed.getvalue()


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("records.csv", "a,b")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("start", "looks_like", "way_out"),
    [
        ("\ufeffid,note".encode("utf-16-le"), "UTF-16", "CSV UTF-8"),
        ("\ufeffid,note".encode("utf-16-be"), "UTF-16", "CSV UTF-8"),
        ("\ufeffid,note".encode("utf-32-le"), "UTF-32", "CSV UTF-8"),
        ("\ufeffid,note".encode("utf-32-be"), "UTF-32", "CSV UTF-8"),
        ("id,note".encode("utf-16-le"), "UTF-16", "CSV UTF-8"),
        ("id,note".encode("utf-16-be"), "UTF-16", "CSV UTF-8"),
        (workbook(), "Excel workbook (xlsx)", "CSV UTF-8"),
        (archive(), "ZIP archive", "Unpack"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "old Excel", "CSV UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG", "Export"),
        (b"\x1f\x8b\x08\0", "gzip", "Unpack"),
        (b"%PDF-1.7\n", "PDF", "Export"),
        (b"<!DOCTYPE html>\n<title>Log in</title>", "web page (HTML)", "Export"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>", "web page (HTML)", "Export"),
        (b'<?xml version="1.0"?>\n<rows/>', "XML", "Export"),
        (b"{\\rtf1\\ansi", "RTF", "Export"),
        (b"\0" * 100, "binary", "Export"),
        (b"a\x01\x02\x03b", "binary", "Export"),
    ],
)
def test_what_is_no_text_is_named_with_a_way_out(start: bytes, looks_like: str, way_out: str) -> None:
    said = what_is_no_text(start)
    assert said is not None
    assert looks_like in said
    assert way_out in said


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"id,note\n1,2\n",
        b"\xef\xbb\xbfid,note\n",
        "größe,naïve,日本語\n".encode(),
        b"id,note\r\n1,\0\r\n" + b"2,x\r\n" * 10,
        b"id\tnote\n\t\t\t\t\t\n",
        b"PK,note\n",
        b"<htmlish>,note\n",
        b"{id},note\n",
        random.Random(1).randbytes(SNIFF_BYTES),  # the header's own check is for this
    ],
)
def test_what_may_be_text(start: bytes) -> None:
    assert what_is_no_text(start) is None
