import errno
from pathlib import Path

import pytest

from rowstream.cli.files import output_file
from rowstream.cli.options import WrongUsage
from rowstream.stack.state_dir import DiskFull


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), output_file(path, force=True) as file:
        file.write(b"half" * (file.write(b"half") // 0))
    assert path.read_text() == "before"
    with output_file(path, force=True) as file:
        file.write(b"whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_somebody_may_have_corrected_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("corrected")
    with pytest.raises(WrongUsage, match=r"out\.csv is there already; give another name, or --force"):
        output_file(path, force=False).__enter__()
    assert path.read_text() == "corrected"


def test_without_a_file_it_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with output_file(None, force=False) as file:
        file.write(b"\xff\n")
    assert capfdbinary.readouterr().out == b"\xff\n"


def test_a_device_is_written_to_and_stays() -> None:
    with output_file(Path("/dev/null"), force=False) as file:
        file.write(b"x")
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"no/such/file cannot be written: No such file"):
        output_file(tmp_path / "no" / "such" / "file", force=False).__enter__()
    with pytest.raises(WrongUsage, match=r"cannot be written: Is a directory"):
        output_file(tmp_path, force=False).__enter__()
    with pytest.raises(DiskFull), output_file(tmp_path / "out", force=False):
        raise OSError(errno.ENOSPC, "No space left on device")
