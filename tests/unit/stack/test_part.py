import pytest

from rowstream.errors import Fatal
from rowstream.stack.part import Part, levels


def part(name: str, *needs: str) -> Part:
    return Part(name=name, command=("true",), environment={"SECRET": "hidden"}, needs=needs)


def test_levels_hold_parts_that_can_start_together() -> None:
    parts = [part("gateway", "job", "broker"), part("job", "postgres"), part("broker"), part("postgres")]
    assert levels(parts) == [["broker", "postgres"], ["job"], ["gateway"]]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([part("a", "b"), part("b", "a")], "a needs b, b needs a"),
        ([part("a"), part("b", "c")], "b needs c"),
    ],
)
def test_parts_that_can_never_start_are_named(parts: list[Part], said: str) -> None:
    with pytest.raises(Fatal, match=said):
        levels(parts)


def test_an_environment_is_never_shown() -> None:
    assert "hidden" not in repr(part("a"))
