"""A file of this machine that is to be sent as it is now, block by block from the disk, and never changed meanwhile."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rowstream.cli.options import WrongUsage
from rowstream.errors import RowstreamError

Sent = Callable[[int], None]
"""Called with the number of bytes of the file that were sent so far; it falls when something is sent again."""

_BLOCK = 1 << 20


class NotSent(RowstreamError):
    """The file did not reach the object store, so there is no upload."""


class LocalFile:
    """An open file that is to be sent whole, as it is now."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.name = path.name
        self._path, self._file = path, file
        found = os.fstat(file.fileno())
        self.size = found.st_size
        self._seen = (found.st_size, found.st_mtime_ns)

    def blocks(self, sent: Sent) -> Iterator[bytes]:
        """The file's bytes from its start; `sent` is told when a block was taken and the next one is asked for."""
        self._file.seek(0)
        sent(0)
        left = self.size
        while left and (block := self._file.read(min(left, _BLOCK))):
            yield block
            left -= len(block)
            sent(self.size - left)
        self.check()

    def piece(self, at: int, size: int) -> Iterator[bytes]:
        """Some bytes from the middle of the file, block by block; several threads may read at a time.

        Raises:
            NotSent: the file has become shorter.
        """
        end = min(at + size, self.size)
        while at < end and (block := os.pread(self._file.fileno(), min(end - at, _BLOCK), at)):
            yield block
            at += len(block)
        if at < end:
            self.check()

    def identity(self) -> dict[str, str | int]:
        """What tells this file, as it was opened, from every other."""
        size, modified_ns = self._seen
        return {"path": str(self._path.absolute()), "size": size, "modified_ns": modified_ns}

    def check(self) -> None:
        """Raises NotSent if somebody wrote to the file meanwhile: what was sent may be half of a line."""
        found = os.fstat(self._file.fileno())
        if self._seen != (found.st_size, found.st_mtime_ns):
            raise NotSent(f"{self._path} changed while it was sent; send it again when nobody writes to it any more")


@contextmanager
def local_file(path: Path) -> Iterator[LocalFile]:
    """Open the file to send.

    Raises:
        WrongUsage: it is not there, is no plain file, or may not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "no plain file"
            raise WrongUsage(f"{path} is {what}; give the file that is to be uploaded")
        file = path.open("rb")
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield LocalFile(path, file)
