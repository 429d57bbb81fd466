"""The demo, as in a fresh clone without a network: the flights are left out, all else is real.

That it ends well, and leaves nothing behind then, is shown by the wheel's (`test_wheel.py`).
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rowstream.cli import demo_files
from tests.unit.cli.support import run

# Without an index pip cannot download the flights, so the test is the same wherever it runs.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made; not pytest's own, which closes them to the database's account."""
    tmp_path_factory.getbasetemp()  # else pytest would make it inside, where this is the first test that asks for it
    with tempfile.TemporaryDirectory(prefix="rowstream-test-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        monkeypatch.undo()


def offline(tmp_path: Path) -> dict[str, str]:
    return {**OFFLINE, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_an_outcome_that_was_not_planned_is_found_and_kept_to_be_looked_at(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = demo_files.members

    def other_members(place: Path) -> demo_files.DemoFile:
        file = members(place)
        planted = {row: codes for row, codes in file.planted.items() if row != 194}
        return replace(file, planted={**planted, 2: ("VAL_002",)})

    monkeypatch.setattr(demo_files, "members", other_members)
    before = set(psutil.Process().children(recursive=True))
    result = run("demo", "--keep", **offline(tmp_path))
    assert set(psutil.Process().children(recursive=True)) <= before
    assert result.code == 1
    assert "flights.csv is left out: " in result.out
    assert not (tmp_path / "cache").exists()
    assert all(line == line.rstrip() for line in result.out.splitlines())
    assert "✗ flights" not in result.out, "to be left out is no failure"
    assert "✗ members.csv: row 2: planted with VAL_002, but not rejected\n" in result.out
    assert "✗ members.csv: row 194: rejected with VAL_001, but nothing was planted there\n" in result.out
    (kept,) = folder.iterdir()
    assert f"{kept} is kept\n" in result.out
    assert (kept / "state" / "logs" / "splitter.log").exists()


@pytest.mark.parametrize(
    ("number", "when", "parts_by_then"), [(signal.SIGINT, "ready after", 7), (signal.SIGTERM, "Start a system", 0)]
)
def test_the_demo_can_be_interrupted(
    number: signal.Signals, when: str, parts_by_then: int, folder: Path, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).with_name("rowstream")), "demo"]
    environment = {**os.environ, **offline(tmp_path), "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        assert process.stderr
        assert any(when in line for line in process.stdout)
        parts = psutil.Process(process.pid).children(recursive=True)
        assert len(parts) >= parts_by_then
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted; everything is stopped\n" in said
    assert list(folder.iterdir()) == []
    assert not [part for part in parts if part.is_running()]
