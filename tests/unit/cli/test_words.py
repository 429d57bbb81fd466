import time
from datetime import UTC, datetime, timedelta

import pytest

from rowstream.cli import words


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (31_053_850, "31.1 MB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(number: int, said: str) -> None:
    assert words.size(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.00 s"),
        (0.123, "0.12 s"),
        (7.94, "7.9 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (65.4, "1 min 05 s"),
        (3_599.4, "59 min 59 s"),
        (3_599.6, "1 h 00 min"),
        (7_380.0, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(2.6, "3 s"), (59.4, "59 s"), (59.6, "1 min 00 s")])
def test_rough_durations(seconds: float, said: str) -> None:
    assert words.rough(seconds) == said


def test_counts_and_rates() -> None:
    assert words.count(336_776) == "336,776"
    assert [words.counted(number, "record") for number in (0, 1, 1_000)] == ["0 records", "1 record", "1,000 records"]
    assert words.rate(20_000, 2.5) == "8,000 records/s"
    assert words.rate(20_000, 0.0) == ""


def test_moments_are_told_in_this_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC+3")
    time.tzset()
    try:
        assert words.moment("2026-02-03T04:05:06.7Z") == "2026-02-03 01:05:06"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert words.moment(None) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (86_399, "23 h"),
        (86_400 * 8, "8 d"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    created = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert words.age("2026-02-03T04:05:06Z", created + timedelta(seconds=seconds)) == said
