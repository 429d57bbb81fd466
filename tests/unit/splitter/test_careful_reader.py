"""The rules of reading, one case a line, with what each comes to. That all readers agree is shown in test_reader."""

import re

import pytest

from splitter import grammar
from splitter.header import read_header
from splitter.limits import Limits
from splitter.lookahead import Lookahead
from tests.unit.splitter.support import (
    HEADER,
    ROOMY,
    THING,
    Chopped,
    read_carefully,
    read_carefully_only,
    reference,
    without_messages,
)

SMALL = Limits(max_record_bytes=20, max_header_bytes=20, max_raw_chars=10)

RULES = {
    "three cells": (b"1,2,3\n", [(2, ["1", "2", "3"])], []),
    "no line end at the end": (b"1,2,3", [(2, ["1", "2", "3"])], []),
    "a comma at the end is a cell": (b"1,2,", [(2, ["1", "2", ""])], []),
    "LF, CRLF and CR": (b"1,,\r\n2,,\r3,,\n4,,\r", [(n + 1, [str(n), "", ""]) for n in (1, 2, 3, 4)], []),
    "blank lines count": (b"\n1,,\n\r\n\r\r\n2,,\n\n", [(3, ["1", "", ""]), (7, ["2", "", ""])], []),
    "a space is no blank line": (b" \n1,,\n", [(3, ["1", "", ""])], [(2, "VAL_006", " ")]),
    "white space is kept": (b' 1,\t, "x"\n', [(2, [" 1", "\t", ' "x"'])], []),
    "quotes": (b'"1","a,""b""",""\n', [(2, ["1", 'a,"b"', ""])], []),
    "a record with line ends in quotes is one row": (
        b'1,"a\nb\r\nc\rd\n\n",\n2,,\n',
        [(2, ["1", "a\nb\r\nc\rd\n\n", ""]), (3, ["2", "", ""])],
        [],
    ),
    "a quote inside a bare cell is a character": (b'5" pipe,a"b"c,d"\n', [(2, ['5" pipe', 'a"b"c', 'd"'])], []),
    "text behind a closing quote": (
        b'1,"abc"def,\n2,,\n',
        [(3, ["2", "", ""])],
        [(2, "VAL_008", '1,"abc"def,')],
    ),
    "a quote that a later one closes": (
        b'1,"abc,x\n2,"def",y\n4,ghi",z\n',
        [(3, ["2", "def", "y"]), (4, ["4", 'ghi"', "z"])],
        [(2, "VAL_008", '1,"abc,x')],
    ),
    "a quote that nothing closes": (
        b'1,"abc,x\n2,b,y\n',
        [(3, ["2", "b", "y"])],
        [(2, "VAL_008", '1,"abc,x')],
    ),
    "a good quoted cell before the bad one goes with it": (
        b'1,"a\nb","c\n2,,\n',
        [(3, ["2", "", ""])],
        [(2, "VAL_008", '1,"a\nb","c')],
    ),
    "bytes that are not UTF-8": (b"1,\xe9,\xc3\xa9\n2,,\n", [(3, ["2", "", ""])], [(2, "VAL_007", "1,\\xe9,é")]),
    "NUL": (b"1,\0,\n2,,\n", [(3, ["2", "", ""])], [(2, "VAL_007", "1,\\x00,")]),
    "too few and too many cells": (
        b"1,2\n1,2,3,4\n1\n1,2,3\n",
        [(5, ["1", "2", "3"])],
        [(2, "VAL_006", "1,2"), (3, "VAL_006", "1,2,3,4"), (4, "VAL_006", "1")],
    ),
    "a bad quote comes before bad bytes, and these before the count": (
        b'\xff,"x"y,\n\xff\n',
        [],
        [(2, "VAL_008", '\\xff,"x"y,'), (3, "VAL_007", "\\xff")],
    ),
    "what looks like a byte order mark is text": (
        b"\xef\xbb\xbf1,2,3\n",
        [(2, ["\ufeff1", "2", "3"])],
        [],
    ),
}

LIMITS = {
    "as long as may be": (b"1,2," + b"x" * 16 + b"\r\n2,,", [(2, ["1", "2", "x" * 16]), (3, ["2", "", ""])], []),
    "one byte too long": (
        b"1,2," + b"x" * 17 + b"\n2,,",
        [(3, ["2", "", ""])],
        [(2, "VAL_009", "1,2,xxxxx…")],
    ),
    "too long, and then a quote": (
        b"1,2," + b"x" * 17 + b',"\n2,,\n',
        [(3, ["2", "", ""])],
        [(2, "VAL_009", "1,2,xxxxx…")],
    ),
    "too long inside quotes: only the line where they open": (
        b'1,"a\n' + b"b,,\n" * 5,
        [(row, ["b", "", ""]) for row in range(3, 8)],
        [(2, "VAL_008", '1,"a')],
    ),
    "closed with the last byte": (b'1,2,"' + b"x" * 14 + b'"\n', [(2, ["1", "2", "x" * 14])], []),
    "closed one byte too late": (b'1,2,"' + b"x" * 15 + b'"\n', [], [(2, "VAL_008", '1,2,"xxxx…')]),
    "closed with the last byte, and the record goes on": (
        b'1,2,"' + b"x" * 14 + b'",\n',
        [],
        [(2, "VAL_009", '1,2,"xxxx…')],
    ),
    "a quote doubled across the limit": (b'1,2,"' + b"x" * 14 + b'"""\n', [], [(2, "VAL_008", '1,2,"xxxx…')]),
    "too long after line ends in quotes": (
        b'1,"a\nb",' + b"x" * 30 + b"\n2,,\n",
        [(3, ["2", "", ""])],
        [(2, "VAL_009", '1,"a\nb",x…')],
    ),
}


@pytest.mark.parametrize(("data", "rows", "rejections"), RULES.values(), ids=RULES)
def test_rule(data: bytes, rows: list[object], rejections: list[object]) -> None:
    assert without_messages(read_carefully_only(HEADER + data)) == (rows, rejections)
    expected = reference(HEADER + data)
    assert (expected.records, expected.rejections) == (rows, rejections)


@pytest.mark.parametrize(("data", "rows", "rejections"), LIMITS.values(), ids=LIMITS)
def test_limit(data: bytes, rows: list[object], rejections: list[object]) -> None:
    assert without_messages(read_carefully_only(HEADER + data, SMALL)) == (rows, rejections)
    expected = reference(HEADER + data, SMALL)
    assert (expected.records, expected.rejections) == (rows, rejections)


@pytest.mark.parametrize(
    ("data", "limits", "said"),
    [
        (b"1\n", ROOMY, "has 1 cell, the header has 3"),
        (b"1,2,3,4\n", ROOMY, "has 4 cells, the header has 3"),
        (b"1,2,\xe9\n", ROOMY, "byte 5 of the record, 0xE9, is not UTF-8"),
        (b"1,2,\0\n", ROOMY, "byte 5 of the record is NUL"),
        (b'1,"2"x,3\n', ROOMY, "goes on behind its closing quote"),
        (b'1,"2,3\n', ROOMY, "never closed"),
        (b'1,"2,3\n' + b"4,5,6\n" * 9, SMALL, "not closed within 20 bytes"),
        (b'1,2,"' + b"x" * 14 + b'"""\n', SMALL, "not closed within 20 bytes"),
        (b"1,2," + b"x" * 20, SMALL, "longer than 20 bytes"),
    ],
)
def test_a_rejection_says_what_was_found_and_expected(data: bytes, limits: Limits, said: str) -> None:
    rejection = read_carefully_only(HEADER + data, limits)[1][0]
    assert said in rejection.message
    assert rejection.message[0].islower(), "as every message: a reader sees it behind a row number"


class Counted(bytes):
    """Bytes that count how many of them were searched."""

    searched = 0

    def find(self, text: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        end = len(self) if end is None else end
        found = super().find(text, start, end)
        Counted.searched += max(0, (end if found < 0 else found) - start)
        return found


class CountedPattern:
    """A pattern that counts as well."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern

    def match(self, data: bytes, start: int, end: int) -> re.Match[bytes] | None:
        found = self._pattern.match(data, start, end)
        Counted.searched += found.end() - start if found else 0
        return found


@pytest.mark.parametrize(
    "line",
    [
        b'"",""x\n',
        b'1,"\n',
        b'1,""\n',
        b'1,"""\n',
        b'1,""""\n',
        b'"",',
        b'1,2,"\r',
        b'"x"y\n',
        b'""',
        b"\r",
        b"1,2,3\r",
    ],
)
def test_a_hostile_file_takes_time_in_proportion_to_its_size(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Counted(line * (40_000 // len(line)))
    source = Lookahead(Chopped(HEADER, [100]), 100)
    limits = Limits(max_record_bytes=65_536)
    header = read_header(source, THING, limits)
    source.data, source.at, source.ended = data, 0, True
    monkeypatch.setattr(grammar, "_CELL_INSIDE", CountedPattern(grammar._CELL_INSIDE))
    Counted.searched = 0
    read_carefully(source, 2, len(data), header, limits)
    assert source.exhausted
    assert Counted.searched < 6 * len(data)
