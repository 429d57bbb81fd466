import sys

import polars as pl

from rowstream.records.white_space import WHITE_SPACE, is_blank, is_surely_text, strip

# Code points with the property White_Space, as the Unicode Character Database lists them.
LISTED = {
    *range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
}  # fmt: skip
POINTS = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]


def test_white_space_is_what_unicode_lists() -> None:
    assert {ord(character) for character in WHITE_SPACE} == LISTED


def test_python_alone_would_take_more() -> None:
    assert {point for point in POINTS if chr(point).isspace()} - LISTED == {0x1C, 0x1D, 0x1E, 0x1F}


def test_blank_is_the_same_in_both_worlds() -> None:
    frame = pl.DataFrame({"point": POINTS, "text": [chr(point) for point in POINTS]})
    blank = frame.filter(is_blank(pl.col("text")))["point"]
    assert set(blank) == LISTED == {point for point in POINTS if not strip(chr(point))}


def test_what_is_surely_text_is_never_blank() -> None:
    frame = pl.DataFrame({"text": ["", *(chr(point) for point in POINTS)]})
    both = frame.filter(is_surely_text(pl.col("text")) & is_blank(pl.col("text")))
    assert both.is_empty()
    assert frame.filter(is_surely_text(pl.col("text")))["text"].to_list() == [chr(point) for point in range(0x21, 0x7F)]


def test_null_stays_null() -> None:
    frame = pl.DataFrame({"text": [None]}, schema={"text": pl.String})
    assert frame.select(is_blank(pl.col("text")), x=is_surely_text(pl.col("text"))).row(0) == (None, None)
