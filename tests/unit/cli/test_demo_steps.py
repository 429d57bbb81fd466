import sys
from pathlib import Path

import pytest

from rowstream.cli import demo_steps


@pytest.mark.parametrize(
    ("known", "has_activate", "said"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_a_shell_that_does_not_know_the_command_is_told_how_to(
    *, known: bool, has_activate: bool, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    program = folder / "rowstream"
    program.touch(mode=0o755)
    if has_activate:
        (folder / "activate").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(folder) if known else str(tmp_path))
    assert list(demo_steps._reachable()) == ([". .venv/bin/activate"] if said else [])
