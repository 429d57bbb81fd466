from pathlib import Path

from rowstream.stack.logs import cap, last_lines, open_log, set_aside


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    for run in ("first", "second", "third"):
        set_aside(log)
        log.write_text(run)
    assert log.read_text() == "third"
    assert (tmp_path / "broker.log.1").read_text() == "second"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_large_log_is_emptied_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    with open_log(log) as writer:
        writer.write(b"x" * 100)
        assert not cap(log, largest=100)
        writer.write(b"y")
        assert cap(log, largest=100)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "broker.log.1").stat().st_size == 101


def test_only_the_owner_may_read_a_log(tmp_path: Path) -> None:
    open_log(tmp_path / "a.log").close()
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_not_there_has_nothing_to_cap_or_show(tmp_path: Path) -> None:
    assert not cap(tmp_path / "none.log")
    assert last_lines(tmp_path / "none.log") == ""


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"first\n" + b"\xff" * 5_000 + b"\nlast but one\n\nlast\n\n")
    assert last_lines(log, lines=2) == "last but one\nlast"
    assert "first" not in last_lines(log, lines=9)
