"""Files that commands write: whole or not at all."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rowstream.cli.options import WrongUsage
from rowstream.stack.state_dir import full_disk


@contextmanager
def output_file(path: Path | None, *, force: bool) -> Iterator[BinaryIO]:
    """Something to write bytes to: standard output, or a file that takes its name when all was written without error.

    Args:
        path: of the file; None for standard output.
        force: replace a file that is there. It may hold what somebody has filled in or corrected since.

    Raises:
        WrongUsage: the file is there already, or cannot be written.
        DiskFull: the disk is full.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    special = path.exists() and not path.is_file()  # such as /dev/null, which nothing can take the place of
    if path.exists() and not special and not force:
        raise WrongUsage(f"{path} is there already; give another name, or --force to replace it")
    unfinished = path if special else path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        if not special:
            unfinished.replace(path)
    except OSError as error:
        raise full_disk(error, path) or WrongUsage(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if not special:
            unfinished.unlink(missing_ok=True)
