import pytest

from rowstream.records import ERROR_CODES
from rowstream.records.errors import capped


def test_every_code_is_listed_once_and_says_what_it_means() -> None:
    codes = [error.code for error in ERROR_CODES]
    assert len(set(codes)) == len(codes)
    numbered = [f"FMT_{number:03}" for number in range(1, 6)] + [f"VAL_{number:03}" for number in range(1, 13)]
    assert set(codes) == {*numbered, "BIZ_*", "DUP_001", "DB_001", "DB_*", "S3_*", "UNK_*"}
    assert all(error.meaning and error.effect for error in ERROR_CODES)


@pytest.mark.parametrize(("text", "cut"), [("", ""), ("abc", "abc"), ("abcd", "ab…")])
def test_a_long_text_is_cut_to_the_limit(text: str, cut: str) -> None:
    assert capped(text, 3) == cut
