import io
import re

import pytest
from rich.console import Console

from rowstream.cli.figures import figures
from rowstream.cli.progress import Bars, Lines, View, advice, view
from tests.unit.cli.support import upload


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def running(done: int, **changes: object) -> dict[str, object]:
    figures = {"status": "processing", "total_records": None, "size_bytes": 1_000, "bytes_read": 500}
    counts = {"records_split": 2_000, "processed_records": done, "succeeded_records": done, "failed_records": 0}
    return upload(**{**figures, **counts, **changes})


def test_where_nobody_looks_a_line_is_said_every_five_seconds() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("a.csv", 3_000_000, said.append, clock)
    for clock.now, done in ((0.0, 0), (1.0, 1_000_000), (6.0, 2_000_000), (7.0, 3_000_000)):
        lines.sent(done)
    for clock.now, done in ((8.0, 0), (10.0, 500), (12.0, 1_000), (13.0, 1_200), (18.0, 2_200)):
        lines.seen(running(done))
    lines.seen(upload())
    assert said == [
        "a.csv: 2.0 MB of 3.0 MB sent",
        "a.csv: 3.0 MB sent",
        "a.csv: 2,000 split, 1,000 loaded · 0 rejected · 250/s · 12 s left",
        "a.csv: 2,200 split, 2,200 loaded · 0 rejected · 220/s · 10 s left",
    ]


@pytest.mark.parametrize(("before", "after"), [(250_400_000, ["a.csv: 300.0 MB sent"]), (300_000_000, [])])
def test_where_nobody_looks_it_is_said_what_an_upload_goes_on_from(before: int, after: list[str]) -> None:
    said = list[str]()
    lines = Lines("a.csv", 300_000_000, said.append, Clock())
    for done in dict.fromkeys((before, 300_000_000)):
        lines.sent(done)
    assert said == [f"a.csv: going on; {before / 1e6:.1f} MB of 300.0 MB were sent before", *after]


def test_while_nothing_moves_a_line_a_minute_is_enough() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("a.csv", 3_000_000, said.append, clock)
    for clock.now in range(130):
        lines.seen(running(500))
    clock.now += 1
    lines.seen(running(501))
    still = "a.csv: 2,000 split, 500 loaded · 0 rejected"
    advice = " · nothing moves; `rowstream doctor` may say why"
    assert said[:3] == [still, still + advice, still + advice]
    assert [line.partition(" · ")[0] for line in said[3:]] == ["a.csv: 2,000 split, 501 loaded"]


@pytest.mark.parametrize(
    ("seconds", "status", "said"), [(59, "processing", False), (60, "processing", True), (99, "paused", False)]
)
def test_what_stands_still_for_a_minute_is_a_case_for_the_doctor(seconds: int, status: str, *, said: bool) -> None:
    assert bool(advice(figures(running(5, status=status)), seconds)) is said


def test_a_pause_is_said() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("a.csv", 1, said.append, clock)
    clock.now = 6.0
    lines.seen(running(10, status="paused"))
    assert said == ["a.csv: 2,000 split, 10 loaded · 0 rejected · paused"]


def screen_of(total: int, show: "list[object]") -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with Bars(total, console, indent=3) as bars:
        for one in show:
            bars.sent(one) if isinstance(one, int) else bars.seen(one)  # type: ignore[arg-type]
    return screen.getvalue()


def test_a_person_sees_three_bars() -> None:
    shown = screen_of(1_000_000, [250_000, 1_000_000, running(500), running(1_500), upload()])
    last = shown.rpartition("   sending")[2]
    assert re.search(r"━ 1\.0 MB · ", last)
    assert "   splitting ━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 20 records" in last
    assert "   loading   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 17 loaded · 3 rejected" in last
    assert "left" not in last


def test_an_empty_file_is_sent_whole() -> None:
    shown = screen_of(0, [0, upload(size_bytes=0, bytes_read=0, total_records=0, processed_records=0)])
    assert "0 bytes" in shown
    assert "╸" not in shown


def test_the_view_fits_who_looks(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(view("a", 1, silent=False, console=terminal), Bars)
    assert isinstance(view("a", 1, silent=False), Lines)
    with view("a", 1, silent=True) as silent:
        silent.sent(1)
        silent.seen(upload())
    assert type(silent) is View
    assert capsys.readouterr() == ("", "")
