"""A window that follows how fast chunks settle."""

import pytest

from splitter.pace import Pace

LEAST = 16


def paced(a_second: float, *, seconds: float, start: float = 100.0, pace: Pace | None = None) -> Pace:
    pace = pace or Pace(seconds=1.5, now=start)
    for look in range(1, int(seconds * 10) + 1):
        done = int(look * a_second / 10) - int((look - 1) * a_second / 10)
        pace.settled(done, start + look / 10)
    return pace


@pytest.mark.parametrize(
    ("a_second", "chunks"), [(0, LEAST), (1, LEAST), (10, LEAST), (20, 30), (70, 105), (1_000, 1_500)]
)
def test_what_settles_in_the_given_time_may_be_on_its_way(a_second: float, chunks: int) -> None:
    assert paced(a_second, seconds=10).chunks == pytest.approx(chunks, rel=0.05)


def test_it_begins_small_and_follows_changes_within_seconds() -> None:
    pace = Pace(seconds=1.5, now=0.0)
    assert pace.chunks == LEAST
    paced(100, seconds=1, start=0.0, pace=pace)
    assert pace.chunks == pytest.approx(150, rel=0.05)
    paced(20, seconds=4, start=1.0, pace=pace)
    assert pace.chunks == pytest.approx(30, rel=0.1)
    paced(0, seconds=4, start=5.0, pace=pace)
    assert pace.chunks == LEAST


def test_the_first_that_settle_at_once_say_no_wonders() -> None:
    pace = Pace(seconds=1.5, now=0.0)
    pace.settled(8, 0.001)
    assert pace.chunks == 48  # as if they had taken a quarter of a second


@pytest.mark.parametrize("base", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("capacity", [20, 70, 300])
def test_it_uses_what_processors_can_do_and_no_more(base: float, capacity: int) -> None:
    """Processors that take `base` seconds for a chunk, and no more than `capacity` in a second."""
    pace, now, waiting, on_its_way = Pace(seconds=1.5, now=0.0), 0.0, 0.0, 0.0
    for _ in range(600):
        now += 0.1
        on_its_way = max(on_its_way, pace.chunks)
        done = min(capacity, on_its_way / base) * 0.1
        waiting += done
        pace.settled(int(waiting), now)
        waiting -= int(waiting)
        on_its_way -= done
    assert pace.chunks == pytest.approx(capacity * 1.5, rel=0.2)
