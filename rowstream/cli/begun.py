"""Remembers uploads in parts that were begun here, so that the same command goes on with one instead of beginning anew.

What is remembered is the Idempotency-Key that an upload was begun with: whoever shows it to the API again finds the
upload. One small file for each, in the user's state folder; which one follows from the file's whole path, its size and
time, the record type and the gateway. A file that was changed since is another one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FOLDER = Path("rowstream") / "uploads"


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of these files: in XDG_STATE_HOME, or else in `~/.local/state`.

    A user without a home, as containers have them, gets one that cannot be: nothing is remembered there.
    """
    if home := environment.get("XDG_STATE_HOME"):
        return Path(home) / _FOLDER
    try:
        return Path.home() / ".local" / "state" / _FOLDER
    except RuntimeError:
        return Path(os.devnull) / _FOLDER


class Begun:
    """What is remembered of the upload of one file as one record type to one gateway.

    Args:
        what: that file, record type and gateway; whatever tells one upload from another.
        folder: of the files; made when something is remembered.
    """

    def __init__(self, what: Mapping[str, str | int], folder: Path) -> None:
        self._what = dict(what)
        name = hashlib.sha256(json.dumps(self._what, sort_keys=True).encode()).hexdigest()
        self._file = folder / f"{name}.json"

    def key(self) -> str | None:
        """The Idempotency-Key of the upload that was begun; None if none was, or nobody can say."""
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        key = said.get("idempotency_key") if isinstance(said, dict) else None
        return key if isinstance(key, str) else None

    def remember(self, key: str) -> bool:
        """Remember the key, before anything is begun with it; False if that cannot be done here."""
        half = self._file.with_suffix(f".{os.getpid()}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            half.write_text(json.dumps({**self._what, "idempotency_key": key}), encoding="utf-8")
            half.replace(self._file)
        except OSError:
            return False
        return True

    def forget(self) -> None:
        """Remember it no more, as it has ended."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
