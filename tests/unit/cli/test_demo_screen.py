import io
from pathlib import Path

import pytest
from rich.console import Console

from rowstream.cli.demo_screen import Screen
from rowstream.cli.progress import Bars, Lines
from rowstream.stack.runner import Ended, Ready, Starting


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=60, color_system=None, highlight=False)


def play(screen: Screen) -> None:
    with screen.starting() as tell:
        tell(Starting(("broker", "splitter")))
        tell(Ready("broker", 0.2))
        tell(Ended("splitter", "was killed by SIGKILL", 0.5, Path("splitter.log")))
    screen.step("Check", "How it is checked.")
    screen.good("as planned, " * 6)
    screen.bad("not as planned")


@pytest.mark.parametrize("terminal", [True, False])
def test_steps_are_numbered_and_marked(terminal: bool) -> None:  # noqa: FBT001 - pytest calls it so
    there = console(terminal=terminal)
    play(Screen(there))
    shown = "\n".join(line.rstrip() for line in there.file.getvalue().splitlines())  # type: ignore[attr-defined]
    assert "✗ splitter was killed by SIGKILL; it is started" in shown
    assert "1  Check" in shown
    assert "   How it is checked.\n" in shown
    assert "   ✓ as planned, as planned, as planned, as planned, as\n     planned, as planned," in shown
    assert ("waiting for splitter" in shown) == terminal


def test_where_nobody_looks_lines_have_no_padding() -> None:
    there = console(terminal=False)
    play(Screen(there))
    assert all(line == line.rstrip() for line in there.file.getvalue().splitlines())  # type: ignore[attr-defined]


def test_the_progress_fits_who_looks(tmp_path: Path) -> None:
    assert isinstance(Screen(console(terminal=True)).progress(tmp_path, 1), Bars)
    assert isinstance(Screen(console(terminal=False)).progress(tmp_path, 1), Lines)
