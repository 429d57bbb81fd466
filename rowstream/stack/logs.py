"""The parts' logs: one file each, the run before kept beside it, both bounded."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

LARGEST_LOG = 20_000_000


def set_aside(log: Path) -> None:
    """Begin a new log; the one of the run before is kept as NAME.log.1, older ones are dropped."""
    if log.exists():
        log.replace(_previous(log))


def open_log(log: Path) -> BinaryIO:
    """The log, open for a child to write to; in append mode, so that `cap` may empty it under the writer."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "ab", buffering=0)


def cap(log: Path, largest: int | None = None) -> bool:
    """Move a log that is too large to NAME.log.1 while its writer goes on; True if it did.

    Too large is over `largest` bytes, LARGEST_LOG unless said otherwise.
    Lines written between the copy and the emptying are lost: a log may lose lines, the disk may not fill.
    """
    try:
        if log.stat().st_size <= (LARGEST_LOG if largest is None else largest):
            return False
        try:
            shutil.copyfile(log, _previous(log))
        finally:
            os.truncate(log, 0)
    except FileNotFoundError:
        return False
    return True


def last_lines(log: Path, lines: int = 5, most: int = 4_000) -> str:
    """The end of a log, at most `most` bytes of it; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - most))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _previous(log: Path) -> Path:
    return log.with_name(log.name + ".1")
