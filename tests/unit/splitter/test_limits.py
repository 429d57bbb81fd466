import pytest

from rowstream.errors import Fatal
from splitter.batch import raw_text
from splitter.limits import Limits


@pytest.mark.parametrize("name", ["max_record_bytes", "max_raw_chars", "max_columns", "max_header_bytes"])
def test_a_limit_below_one_is_refused_by_name(name: str) -> None:
    with pytest.raises(Fatal, match=f"{name} is 0"):
        Limits(**{name: 0})


def test_a_header_is_no_longer_than_a_record() -> None:
    with pytest.raises(Fatal, match="max_header_bytes"):
        Limits(max_record_bytes=100, max_header_bytes=101)
    assert Limits(max_record_bytes=100, max_header_bytes=100).max_header_bytes == 100


@pytest.mark.parametrize(
    ("raw", "cap", "text"),
    [
        (b"abc", 3, "abc"),
        (b"abcd", 3, "ab…"),
        ("éüß".encode(), 3, "éüß"),
        ("😀😀😀".encode(), 3, "😀😀😀"),
        ("😀😀😀😀".encode(), 3, "😀😀…"),
        (b"a\xff\0", 100, "a\\xff\\x00"),
        (b"\xff\xff", 5, "\\xff…"),
        (b"x" * 1_000_000, 4, "xxx…"),
        (b"a\r\nb\tc", 100, "a\r\nb\tc"),
    ],
)
def test_raw_text_is_readable_storable_and_cut(raw: bytes, cap: int, text: str) -> None:
    assert raw_text(raw, Limits(max_raw_chars=cap, max_record_bytes=1, max_header_bytes=1)) == text
