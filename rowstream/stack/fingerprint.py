"""Tells whether the database was prepared by the very code that is installed now.

If it was, services need not wait while that is checked thoroughly, which takes as long as their own start. The check
itself (the job `database`) runs in any case, so a fingerprint that misses a change costs a moment, not correctness.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from rowstream.stack.state_dir import StateDir

PREPARED = "prepared"
_RECORD_TYPES = "rowstream.record_types"


def fingerprint() -> str:
    """A digest of all code that says what the tables look like: the database folder's and the record types'."""
    digest = hashlib.blake2b(digest_size=16)
    for point in sorted(entry_points(group=_RECORD_TYPES)):
        digest.update(f"{point.name}={point.value};{point.dist.version if point.dist else ''}".encode())
    for file in _files():
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_prepared(state: StateDir) -> bool:
    """Whether the embedded database of this state folder was prepared by the code that is installed now."""
    return (state.path / "postgres" / "data").exists() and state.read(PREPARED) == fingerprint()


def note_prepared(state: StateDir) -> None:
    """Remember that the database has just been prepared."""
    state.write(PREPARED, fingerprint())


def _files() -> Iterator[Path]:
    modules = {point.module.partition(".")[0] for point in entry_points(group=_RECORD_TYPES)}
    folders = [_folder("rowstream.database"), *(_folder(module) for module in sorted(modules))]
    for folder in folders:
        if folder is not None:
            yield from sorted(folder.rglob("*.py"))


def _folder(module: str) -> Path | None:
    found = importlib.util.find_spec(module)
    return Path(found.origin).parent if found and found.origin and found.submodule_search_locations else None
