import errno
import os
import stat
from pathlib import Path

import pytest

from rowstream.errors import Fatal
from rowstream.stack.state_dir import AlreadyRunning, DiskFull, StateDir, full_disk


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "deep" / "state")
    made.make()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_enter(state: StateDir) -> None:
    assert mode(state.path) == 0o700
    assert mode(state.logs) == 0o700


def test_a_folder_that_others_may_read_is_seen(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    assert state.open_mode() is None
    state.make()
    for own in (0o700, 0o711):  # the embedded database's user may have to pass
        state.path.chmod(own)
        assert state.open_mode() is None
    for common in (0o755, 0o720):
        state.path.chmod(common)
        assert state.open_mode() == common


def test_small_files_are_for_the_owner_alone(state: StateDir) -> None:
    state.write("api_key", "secret")
    state.write("api_key", "newer")
    assert state.read("api_key") == "newer"
    assert mode(state.path / "api_key") == 0o600
    assert state.read("other") is None
    state.forget("api_key")
    assert state.read("api_key") is None


def test_json_survives_and_rubbish_counts_as_nothing(state: StateDir) -> None:
    state.write_json("ports.json", {"broker": 1})
    assert state.read_json("ports.json") == {"broker": 1}
    for rubbish in ("{half", "[1]", ""):
        state.write("ports.json", rubbish)
        assert state.read_json("ports.json") == {}


def test_the_second_to_lock_is_told_who_was_first(state: StateDir) -> None:
    with state.lock(), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught, state.lock():
        pass
    assert "\n" not in str(caught.value)
    assert "--state-dir" in str(caught.value)
    with state.lock():
        assert state.holder() == os.getpid()


def test_nobody_holds_a_folder_that_was_never_locked(state: StateDir) -> None:
    assert state.holder() is None
    assert not state.is_held()


def test_a_folder_is_held_as_long_as_its_holder_lives(state: StateDir) -> None:
    with state.lock():
        assert state.is_held()
    assert state.holder() == os.getpid()  # this process lives, but has let go
    assert not state.is_held()
    state.write("lock", "999999999")
    assert not state.is_held()


def test_too_little_room_is_said_with_numbers(state: StateDir) -> None:
    state.check_room()
    with pytest.raises(DiskFull, match=r"has \d+ MB free and rowstream needs 1000000000000 MB"):
        state.check_room(needed=10**18)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match=r"file/state cannot be made: Not a directory; .*--state-dir"):
        StateDir(tmp_path / "file" / "state").make()


@pytest.mark.parametrize(
    ("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False), (None, False)]
)
def test_which_errors_mean_a_full_disk(*, number: int | None, full: bool, tmp_path: Path) -> None:
    assert (full_disk(OSError(number, "why"), tmp_path) is not None) == full
