import pytest

from rowstream.records.headers import distinct


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([], ()),
        (["a", "b"], ("a", "b")),
        (["a", "a", "a"], ("a", "a (2)", "a (3)")),
        (["", "x", ""], ("column 1", "x", "column 3")),
        (["a", "a (2)", "a"], ("a", "a (2)", "a (3)")),
        (["column 2", ""], ("column 2", "column 2 (2)")),
    ],
)
def test_no_header_hides_another(headers: list[str], names: tuple[str, ...]) -> None:
    assert distinct(headers) == names
