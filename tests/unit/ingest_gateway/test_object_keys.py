import pytest

from ingest_gateway.object_keys import check_key


@pytest.mark.parametrize(
    "key",
    [
        "members.csv",
        "in/2026/März 07.csv",
        "..a/b../...",
        "a\\b",
        "x" * 255,
        "あ" * 255,
        "x/" * 511 + "xx",
    ],
)
def test_what_an_object_can_be_called_is_taken(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "nothing before or between"),
        ("/a.csv", "nothing before or between"),
        ("acme//a.csv", "nothing before or between"),
        ("acme/", "ends with a slash"),
        ("/", "ends with a slash"),
        ("../../../etc/passwd", "names another place"),
        ("acme/../hill/a.csv", "names another place"),
        ("acme/./a.csv", "names another place"),
        ("..", "names another place"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("a\x7fb", "control character"),
        ("acme/" + "x" * 256, "more than 255 characters"),
        ("ü" * 513, "more than 1024 bytes"),
        ("\ud800", "half of a character"),
    ],
)
def test_what_no_object_is_called_is_refused(key: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_key(key)
