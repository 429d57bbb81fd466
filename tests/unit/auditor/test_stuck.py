"""Which uploads are stuck, by what several looks saw."""

from uuid import UUID

import pytest

from auditor.stuck import Sighting, Watch

ONE, OTHER = UUID(int=1), UUID(int=2)


def sight(upload_id: UUID = ONE, reached: int = 0, *, noted: bool = True, holder: str | None = "s/1") -> Sighting:
    return Sighting(upload_id=upload_id, reached=(reached,), noted=noted, holder=holder)


def stuck_after(*looks: tuple[float, list[Sighting]]) -> list[UUID]:
    watch = Watch(60.0)
    found: list[UUID] = []
    for now, sightings in looks:
        found = [one.upload_id for one in watch.observe(sightings, now)]
    return found


@pytest.mark.parametrize(
    ("looks", "stuck"),
    [
        pytest.param([(0, [sight()]), (59, [sight()])], [], id="not yet"),
        pytest.param([(0, [sight()]), (60, [sight()])], [ONE], id="held and not moving"),
        pytest.param([(0, [sight()]), (30, [sight(reached=1)]), (60, [sight(reached=1)])], [], id="moved"),
        pytest.param([(0, [sight()]), (30, []), (60, [sight()])], [], id="forgotten when it was not seen"),
        pytest.param(
            [(0, [sight(noted=False, holder=None)]), (60, [sight(noted=False, holder=None)])], [ONE], id="lost"
        ),
        pytest.param([(0, [sight(holder=None)]), (60, [sight(holder=None)])], [ONE], id="nobody holds anything"),
        pytest.param(
            [(0, [sight(holder=None), sight(OTHER)]), (60, [sight(holder=None), sight(OTHER, reached=1)])],
            [],
            id="waits for its turn",
        ),
        pytest.param(
            [(0, [sight(holder=None), sight(OTHER)]), (60, [sight(holder=None), sight(OTHER)])],
            [ONE, OTHER],
            id="waits behind one that is stuck itself",
        ),
    ],
)
def test_stuck(looks: list[tuple[float, list[Sighting]]], stuck: list[UUID]) -> None:
    assert stuck_after(*looks) == stuck


@pytest.mark.parametrize(
    ("sighting", "word"),
    [
        (sight(noted=False, holder=None), "noted"),
        (sight(holder=None), "no splitter holds"),
        (sight(holder="host/7"), "splitter host/7 holds"),
    ],
)
def test_the_reason_says_who_should_have_moved_it(sighting: Sighting, word: str) -> None:
    watch = Watch(60.0)
    watch.observe([sighting], 0)
    (found,) = watch.observe([sighting], 61)
    assert found.seconds == 61
    assert word in found.why
