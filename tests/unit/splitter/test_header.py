import gzip
import io
from collections.abc import Sequence

import pytest

from splitter.header import Column, FileRejected, Header, read_header
from splitter.limits import Limits
from splitter.lookahead import Lookahead
from tests.unit.splitter.support import ROOMY, THING, Chopped


def header_of(data: bytes, limits: Limits = ROOMY, chops: Sequence[int] = (7,)) -> Header:
    return read_header(Lookahead(Chopped(data, list(chops)), 10), THING, limits)


@pytest.mark.parametrize(
    ("data", "names", "row"),
    [
        (b"id,number,note\n1,2,3\n", ["id", "number", "note"], 1),
        (b"id,number,note", ["id", "number", "note"], 1),
        (b"id,number\r\n", ["id", "number"], 1),
        (b"id,number\r1,2", ["id", "number"], 1),
        (b"\xef\xbb\xbfid,number\n", ["id", "number"], 1),
        (b'\xef\xbb\xbf"id","number"\n', ["id", "number"], 1),
        (b"\n\r\n\rid,number\n", ["id", "number"], 4),
        (b" ID ,\tNumber,REMARK\n", ["id", "number", "note"], 1),
        (b"note,number,id\n", ["note", "number", "id"], 1),
        (b"id,x,number,y\n", ["id", None, "number", None], 1),
        (b'"i\nd",id,number\n', [None, "id", "number"], 1),
        (b"id,number,,\n", ["id", "number", None, None], 1),
        ("id,number,größe\n".encode(), ["id", "number", None], 1),
        (b"id,number,row_number,error_code\n", ["id", "number", None, None], 1),
    ],
)
def test_read_as_meant(data: bytes, names: list[str | None], row: int) -> None:
    header = header_of(data)
    assert [column.name for column in header.columns] == names
    assert header.kept == tuple(range(len(names)))
    assert (header.width, header.row) == (len(names), row)


def test_a_header_keeps_its_spelling() -> None:
    assert header_of(b'"  ID","number","a ""b"""\n').columns == (
        Column("  ID", "id"),
        Column("number", "number"),
        Column('a "b"', None),
    )


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"id,number,note,row_number,error_code,error_message\n", (0, 1, 2)),
        (b"id,number,Row_Number , ERROR_CODE,Error_Message\n", (0, 1)),
        (b"id,error_code,number,error_message,row_number,x\n", (0, 2, 5)),
    ],
)
def test_the_columns_of_an_error_report_do_not_travel_but_are_counted(data: bytes, kept: tuple[int, ...]) -> None:
    header = header_of(data)
    assert header.kept == kept
    assert len(header.columns) == len(kept)
    assert header.width == data.count(b",") + 1


TIGHT = Limits(max_columns=4, max_header_bytes=30, max_record_bytes=30)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        pytest.param(b"", "FMT_001", ["holds nothing", "header was expected"], id="nothing"),
        pytest.param(b"\xef\xbb\xbf", "FMT_001", ["holds nothing"], id="byte order mark"),
        pytest.param(b"\n", "FMT_001", ["1 blank line and"], id="a blank line"),
        pytest.param(b"\n\r\n\r\n", "FMT_001", ["3 blank lines"], id="blank lines"),
        pytest.param(b"\n" * 100_000, "FMT_001", ["100000 blank lines"], id="many blank lines"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0", "FMT_002", ["PNG image"], id="PNG"),
        pytest.param(gzip.compress(b"id,number\n"), "FMT_002", ["gzip", "Unpack"], id="gzip"),
        pytest.param("id,number\n".encode("utf-16"), "FMT_002", ["UTF-16", "CSV UTF-8"], id="UTF-16"),
        pytest.param(b"\0" * 5_000, "FMT_002", ["binary"], id="NULs"),
        pytest.param("id,größe\n".encode("latin-1"), "FMT_002", ["header is not UTF-8", "CSV UTF-8"], id="Latin-1"),
        pytest.param(b"id,number,a\0b\n" + b"1,2,3\n" * 9, "FMT_002", ["header holds NUL"], id="NUL in the header"),
        pytest.param(
            b"id,note\n", "FMT_003", ["lacks “number”", "thing requires", "found “id”, “note”"], id="lacks one"
        ),
        pytest.param(b"number\n", "FMT_003", ["lacks “id”"], id="lacks another"),
        pytest.param(
            b"a,b\n1,2\n", "FMT_003", ["no column of thing", "“a”, “b”", "expected “id”, “number”"], id="unknown"
        ),
        pytest.param(b"7,yes,yes\n", "FMT_003", ["first line the header"], id="no header"),
        pytest.param(b"id;number;note\n", "FMT_003", ["separated by semicolons", "commas"], id="semicolons"),
        pytest.param(b"id\tnumber\tnote\n", "FMT_003", ["separated by tabs"], id="tabs"),
        pytest.param(b"id|number|note\n", "FMT_003", ["separated by vertical bars"], id="vertical bars"),
        pytest.param(b'id,"number\n1,2\n', "FMT_003", ["cannot be read", "never closed"], id="quote never closed"),
        pytest.param(b'id,"number"x\n', "FMT_003", ["closing quote"], id="text behind a quote"),
        pytest.param(b'id,"number\n' + b"1,2\n" * 9, "FMT_003", ["within 30 bytes"], id="quote not closed in time"),
        pytest.param(b"id,number,ID\n", "FMT_004", ["“id” (column 1)", "“ID” (column 3)", "column id"], id="twice"),
        pytest.param(b"id,number,remark,note\n", "FMT_004", ["“remark”", "“note”", "mean the column"], id="spellings"),
        pytest.param(b"x,id,number,X \n", "FMT_004", ["“x” (column 1)", "mean the same"], id="unknown twice"),
        pytest.param(b"id,number,a,b,c\n", "FMT_005", ["5 columns", "4 that are allowed"], id="columns"),
        pytest.param(b"id,number," + b"x" * 21, "FMT_005", ["longer than 30 bytes", "line end"], id="too long"),
    ],
)
def test_refused(data: bytes, code: str, said: list[str]) -> None:
    for chops in ([1_000_000], [3]):
        with pytest.raises(FileRejected) as caught:
            header_of(data, TIGHT, chops)
        assert caught.value.code == code
        assert caught.value.message[0].islower(), "as every message: a reader sees it behind a code or a row number"
        for words in said:
            assert words in caught.value.message


def test_five_thousand_columns_are_refused_in_a_short_message() -> None:
    cells = ",".join(f"c{n}" for n in range(5_000)).encode()
    with pytest.raises(FileRejected, match="5000 columns, more than the 1000") as caught:
        header_of(cells)
    assert caught.value.code == "FMT_005"
    with pytest.raises(FileRejected) as caught:
        header_of(b"x" * 60_000 + b"," + cells[:4_000])
    assert caught.value.code == "FMT_003"
    assert len(caught.value.message) < 1_000


def test_a_header_may_be_as_long_as_the_limit() -> None:
    assert header_of(b"id,number," + b"x" * 20 + b"\n", TIGHT).width == 3


def test_the_source_stands_behind_the_header() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        source = Lookahead(io.BytesIO(b"\xef\xbb\xbf\nid,number" + end + b"1,2"), 5)
        read_header(source, THING, ROOMY)
        source.fill(10)
        assert source.data[source.at :] == b"1,2"
        assert source.offset == 13 + len(end)
