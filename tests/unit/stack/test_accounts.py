import os
import stat
from pathlib import Path

import pytest

from rowstream.stack.accounts import let_through, may_enter
from rowstream.stack.part import Account

SERVER = Account(name="server", uid=5_001, gid=6_001)


def folder(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((stat.S_IFDIR | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "may"),
    [
        (0o700, 5_001, 0, True),
        (0o077, 5_001, 0, False),
        (0o710, 0, 6_001, True),
        (0o701, 0, 6_001, False),
        (0o755, 0, 0, True),
        (0o711, 0, 0, True),
        (0o750, 0, 0, False),
        (0o700, 0, 0, False),
    ],
)
def test_who_may_enter_a_folder(*, mode: int, uid: int, gid: int, may: bool) -> None:
    assert may_enter(folder(mode, uid, gid), SERVER) == may


def test_only_the_right_to_pass_is_given_and_only_where_it_is_missing(tmp_path: Path) -> None:
    closed, opened = tmp_path / "closed", tmp_path / "closed" / "opened"
    opened.mkdir(parents=True)
    closed.chmod(0o700)
    opened.chmod(0o755)
    data = opened / "data"
    data.mkdir(mode=0o700)
    changed = let_through(data, SERVER)
    assert closed in changed
    assert opened not in changed
    assert data not in changed
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert let_through(data, SERVER) == []
