"""What counts as a wall clock that was set back."""

import pytest

from rowstream.kafka.clock import WallClock


@pytest.mark.parametrize(
    ("wall", "monotonic", "set_back"),
    [
        (1_001.0, 51.0, 0.0),  # both went on
        (1_000.0, 60.0, 10.0),
        (1_000.5, 51.0, 0.5),  # moved little by little
        (4_601.0, 51.0, -3_600.0),
        (1_000.0 - 3_599.0, 51.0, 3_600.0),
    ],
)
def test_it_is_told_apart_from_one_that_goes_on(wall: float, monotonic: float, set_back: float) -> None:
    assert WallClock(1_000.0, 50.0).set_back(wall, monotonic) == pytest.approx(set_back)


def test_each_look_counts_from_the_one_before() -> None:
    clock = WallClock(1_000.0, 50.0)
    assert clock.set_back(4_600.0, 50.0) == -3_600.0
    assert clock.set_back(1_001.0, 51.0) == 3_600.0
    assert clock.set_back(1_002.0, 52.0) == 0.0
