"""The user that the database runs as when rowstream is started by root, since Postgres refuses to run as root."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

from rowstream.errors import Fatal
from rowstream.stack.part import Account

SERVER_USER = "rowstream-postgres"
_ALREADY_EXISTS = 9  # useradd's exit code


def server_account() -> Account | None:
    """The user that servers run as; None means the present user, who is not root. Made where it is not there.

    It is a user of its own: `nobody` or an installed database's user would share its files with other programs.

    Raises:
        Fatal: the user is not there and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        _make_user()
        entry = pwd.getpwnam(SERVER_USER)
    return Account(name=SERVER_USER, uid=entry.pw_uid, gid=entry.pw_gid)


def _make_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SERVER_USER]
    advice = f"Postgres cannot run as root: start rowstream as another user, or make a user named {SERVER_USER}"
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no input of a user
    except OSError as error:
        raise Fatal(f"{advice} (useradd: {error.strerror})") from error
    if made.returncode not in (0, _ALREADY_EXISTS):
        raise Fatal(f"{advice} (useradd: {made.stderr.strip()})")


def may_enter(folder: os.stat_result, account: Account) -> bool:
    """Whether the account may pass through a folder with this mode and owner."""
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def let_through(path: Path, account: Account) -> list[Path]:
    """Let the account pass through the folders above `path`, without letting it list them.

    Only the right to pass, and only where it is missing; whatever else is in those folders keeps its own protection.

    Returns:
        The folders whose mode was changed.
    """
    closed = [folder for folder in path.resolve().parents if not may_enter(folder.stat(), account)]
    for folder in closed:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
    return closed
