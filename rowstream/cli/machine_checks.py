"""What `rowstream doctor` looks at on this machine, whether a system runs or not."""

import os
import platform
import sys
from collections.abc import Iterator

from rowstream.cli.checks import Check, Wrong
from rowstream.records.registry import record_types
from rowstream.stack.state_dir import NEEDED_BYTES, StateDir

_OLDEST_PYTHON = (3, 11)


def machine_checks(state: StateDir) -> Iterator[Check]:
    """What has to be right whether a system runs or not."""
    yield "python", _python
    yield "disk", lambda: _disk(state)
    yield "state folder", lambda: _state_folder(state)
    yield "record types", _record_types


def _python() -> str:
    if sys.version_info < _OLDEST_PYTHON:
        raise Wrong(platform.python_version(), "install Python 3.11 or later")
    return platform.python_version()


def _disk(state: StateDir) -> str:
    there = next(folder for folder in (state.path, *state.path.parents) if folder.exists())
    free = StateDir(there).free_bytes()
    found = f"{free / 1e9:.1f} GB free for {state.path}"
    if free < NEEDED_BYTES:
        raise Wrong(found, f"make room: {NEEDED_BYTES // 1_000_000} MB are needed, and several times the files' size")
    return found


def _state_folder(state: StateDir) -> str:
    if not state.path.exists():
        return f"{state.path}, not there yet; `rowstream up` makes it"
    if state.path.stat().st_uid != os.geteuid():
        raise Wrong(f"{state.path} belongs to another user", "run as that user, or give a folder with --state-dir")
    if mode := state.open_mode():
        raise Wrong(f"{state.path} can be read by others ({mode:o})", f"chmod 700 {state.path}")
    return str(state.path)


def _record_types() -> str:
    return ", ".join(f"{one.name} {one.version}" for one in record_types().values()) or "none is installed"
