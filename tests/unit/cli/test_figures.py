import pytest

from rowstream.cli.figures import Speed, Stillness, figures
from tests.unit.cli.support import upload


def test_at_the_end_the_figures_are_the_counts() -> None:
    now = figures(upload())
    assert (now.split, now.loaded, now.rejected, now.done, now.expected) == (20, 17, 3, 20, 20)
    assert (now.size, now.read, now.status) == (1_500, 1_500, "completed")


@pytest.mark.parametrize(
    ("size", "read", "split", "expected"),
    [(1_000, 0, 0, None), (1_000, 250, 100, 400), (1_000, 1_000, 100, 100), (1_000, 2_000, 100, 100), (None, 5, 7, 7)],
)
def test_how_many_records_there_are_is_estimated_from_what_was_read(
    size: int | None, read: int, split: int, expected: int | None
) -> None:
    now = figures(
        upload(total_records=None, size_bytes=size, bytes_read=read, records_split=split, processed_records=0)
    )
    assert now.expected == expected


def test_records_with_an_outcome_were_split_even_if_the_splitter_did_not_say_so_yet() -> None:
    assert figures(upload(total_records=None, records_split=0, processed_records=12)).split == 12


def test_the_speed_is_that_of_the_last_ten_seconds() -> None:
    speed = Speed()
    assert speed.per_second() is None
    speed.saw(100.0, 0)
    speed.saw(100.1, 50)
    assert speed.per_second() is None  # too little to tell
    assert speed.seconds_left(100) is None
    speed.saw(102.0, 200)
    assert speed.per_second() == 100
    assert speed.seconds_left(50) == 0.5
    speed.saw(112.0, 1_200)
    speed.saw(122.0, 1_300)
    assert speed.per_second() == 10
    speed.saw(140.0, 1_300)
    assert speed.per_second() == 0
    assert speed.seconds_left(50) is None


def test_what_was_waited_for_the_first_record_is_not_counted_as_slowness() -> None:
    speed = Speed()
    for now in (100.0, 101.0, 108.0):
        speed.saw(now, 0)
    speed.saw(109.0, 5_000)
    assert speed.per_second() == 5_000


def test_stillness_begins_anew_with_every_change() -> None:
    stillness = Stillness()
    assert [stillness.saw(now, state) for now, state in ((5.0, "a"), (9.0, "a"), (10.0, "b"), (70.0, "b"))] == [
        0,
        4,
        0,
        60,
    ]
