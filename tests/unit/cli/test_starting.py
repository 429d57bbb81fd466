import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from rowstream.cli.starting import StartView
from rowstream.stack.runner import Ended, Ready, Starting


def play(view: StartView) -> None:
    with view:
        view.tell(Starting(("broker", "splitter")))
        view.tell(Ready("broker", 0.25))
        view.tell(Ready("splitter", 1.0))
        view.started()
        view.tell(Ended("broker", "was killed by SIGKILL", 0.2, Path("broker.log")))
        view.tell(Ready("broker", 0.25))


def test_where_nobody_looks_only_what_matters_later_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    play(StartView(Path("state")))
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d broker was killed by SIGKILL; starting it again in 0\.2 s \(log: broker\.log\)\n"
        r"\d\d:\d\d:\d\d broker is ready again\n",
        capsys.readouterr().err,
    )


def test_a_person_sees_the_parts_come_up() -> None:
    screen = io.StringIO()
    play(StartView(Path("state"), Console(file=screen, force_terminal=True, width=120, color_system=None)))
    shown = screen.getvalue()
    assert "✓ broker 0.2 s" in shown
    assert "✓ splitter 1.0 s" in shown
    assert "starting on state" in shown
