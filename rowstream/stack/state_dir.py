"""The folder that holds a system's whole state: who may use it, who is using it, what it remembers.

STATE_DIR/
  lock                held by the `up` that runs here; holds its process id
  system.json         addresses of the running system, secrets included
  api_key             the default organization's key
  owner_password      of owner@localhost, the default organization's first owner, as long as it is theirs
  secrets.json        the keys that sign tokens
  database_password   of the embedded database
  ports.json          the ports of last time
  topics.json         the partition counts of last time
  prepared            which code prepared the database
  logs/               one file a part
  postgres/ objects/  the data
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from rowstream.errors import Fatal

SECRETS = "secrets.json"
_LOCK = "lock"
_OTHERS = 0o066
NEEDED_BYTES = 500_000_000


class AlreadyRunning(Fatal):
    """Another `up` runs on this state folder."""


class DiskFull(Fatal):
    """There is no room for the system's state."""


class StateDir:
    """One state folder; made, with access for its owner alone, when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"

    def make(self) -> None:
        """Make the folder.

        Raises:
            Fatal: it cannot be made or written to; DiskFull if for want of room.
        """
        try:
            for folder in (self.path, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise full_disk(error, self.path) or Fatal(
                f"the state folder {self.path} cannot be made: {error.strerror}; give another one with --state-dir"
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise Fatal(f"the state folder {self.path} may not be written to; give another one with --state-dir")

    def open_mode(self) -> int | None:
        """Its mode if others than its owner may read or write in it; None if they may not, or it is not there."""
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0
        return mode if mode & _OTHERS else None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder: no other `up` may run on it meanwhile, and the kernel lets go when this process ends.

        Raises:
            AlreadyRunning: another one holds it; says which process.
        """
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise AlreadyRunning(
                    f"rowstream is already running on {self.path} (process {file.read().strip() or 'unknown'}); "
                    "stop it, or give another folder with --state-dir"
                ) from None
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            yield

    def holder(self) -> int | None:
        """The process id of the `up` that holds the folder, or held it last."""
        said = self.read(_LOCK)
        return int(said) if said and said.isdecimal() else None

    def is_held(self) -> bool:
        """Whether the `up` that held the folder last still does; it did not clear up if it was killed."""
        holder = self.holder()
        lock = str((self.path / _LOCK).resolve())
        try:
            return holder is not None and any(file.path == lock for file in psutil.Process(holder).open_files())
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True  # another user's; what it has opened cannot be seen, that it lives can

    def log_of(self, part: str) -> Path:
        """Where the part's log is."""
        return self.logs / f"{part}.log"

    def write(self, name: str, text: str) -> None:
        """Store a small file that only its owner may read; readers see the old text or the new one, never half."""
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)  # two writers have two of them
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(unfinished).replace(self.path / name)

    def read(self, name: str) -> str | None:
        """The text of a small file, None if there is none."""
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def write_json(self, name: str, value: object) -> None:
        """As `write`, a value that JSON can say."""
        self.write(name, json.dumps(value, indent=2))

    def read_json(self, name: str) -> dict[str, Any]:
        """The object in a small file; empty if there is none, or if it is not one (it can be made again)."""
        try:
            value = json.loads(self.read(name) or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def forget(self, name: str) -> None:
        """Remove a small file."""
        (self.path / name).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Bytes that this user may still write to the folder's disk."""
        return shutil.disk_usage(self.path).free

    def check_room(self, needed: int = NEEDED_BYTES) -> None:
        """Check that the disk has room to begin with.

        Raises:
            DiskFull: it has not; says how much there is and what to do.
        """
        free = self.free_bytes()
        if free < needed:
            raise DiskFull(
                f"the disk of {self.path} has {free // 1_000_000} MB free and rowstream needs "
                f"{needed // 1_000_000} MB to start; make room, or give a folder on another disk with --state-dir"
            )


def full_disk(error: OSError, where: Path) -> DiskFull | None:
    """What to say about an error that means that the disk (or the user's share of it) is full; None for others."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return DiskFull(f"the disk of {where} is full; make room, or give a folder on another disk with --state-dir")
