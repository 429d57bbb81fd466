"""How often a store that is away is asked whether it is there again."""

import pytest

from splitter.breaker import pause_before


@pytest.mark.parametrize(
    ("probe", "chance", "seconds"),
    [(0, 0.0, 0.5), (0, 1.0, 0.25), (1, 0.0, 1.0), (2, 0.0, 2.0), (3, 0.0, 4.0), (4, 0.0, 5.0), (4, 1.0, 2.5)],
)
def test_pauses_grow(probe: int, chance: float, seconds: float) -> None:
    assert pause_before(probe, chance) == pytest.approx(seconds)


def test_however_long_it_was_away_it_is_asked_every_few_seconds() -> None:
    assert pause_before(1_000_000, 0.0) == pytest.approx(5.0)
