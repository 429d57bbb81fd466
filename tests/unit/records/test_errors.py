import pytest

from rowstream.records import ERROR_CODES
from rowstream.records.errors import capped


def test_every_code_is_listed_once_and_says_what_it_means() -> None:
    codes = [error.code for error in ERROR_CODES]
    assert len(set(codes)) == len(codes)
    families = {"FMT": 5, "VAL": 12, "DUP": 2, "DB": 2, "S3": 4, "UNK": 4}
    numbered = {f"{name}_{number:03}" for name, last in families.items() for number in range(1, last + 1)}
    assert set(codes) == numbered | {"BIZ_*"}
    assert all(error.meaning and error.effect for error in ERROR_CODES)


@pytest.mark.parametrize(("text", "cut"), [("", ""), ("abc", "abc"), ("abcd", "ab…")])
def test_a_long_text_is_cut_to_the_limit(text: str, cut: str) -> None:
    assert capped(text, 3) == cut
