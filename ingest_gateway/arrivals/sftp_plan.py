"""Which files of a partner's folder are finished, and what is to be done with each; decided from names and numbers.

Nothing here asks the server, the database or a clock: what the server lists and what is remembered of it come in, and
what to do goes out. Names are bytes, as SFTP has them, and come from somebody else: a name is data and never trusted.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from ingest_gateway.filenames import clean_filename
from rowstream.runtime.sources import SftpSource

_LONGEST_NAME = 255

Identity = tuple[str, int, int]
"""Path, size in bytes, time of the last change in seconds since 1970: what makes two files the same file."""


class Kind(Enum):
    """What the server says that a name is."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "link, device or unknown"


@dataclass(frozen=True, slots=True)
class Listed:
    """One name as the server lists it; size in bytes, time of the last change in seconds since 1970."""

    name: bytes
    kind: Kind
    size: int | None
    modified: int | None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a folder; `path` is text that can be shown and stored."""

    name: bytes
    path: str
    size: int
    modified: int

    @property
    def identity(self) -> Identity:
        """What makes it this file and no other."""
        return self.path, self.size, self.modified

    @property
    def event_id(self) -> str:
        """Names the upload that this file becomes; the same file has the same one for ever."""
        return f"{self.modified}:{self.size}:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a file: its state in `sftp_files`, and for how many seconds it is known and unchanged."""

    state: str
    seen_seconds: float = 0.0
    changed_seconds: float = 0.0
    reason: str | None = None
    key: str | None = None


class Act(Enum):
    """What is to be done with a file."""

    WAIT = "wait"
    TAKE = "take"
    PUT_ASIDE = "put aside"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a file, why it waits or is left, and what was remembered of it."""

    file: RemoteFile
    act: Act
    reason: str = ""
    known: Known | None = None


def plan(
    source: SftpSource, listed: Iterable[Listed], known: Mapping[Identity, Known], *, max_bytes: int
) -> list[Decision]:
    """What to do with each file, the oldest first; those with which nothing is to be done are left out."""
    listed = list(listed)
    times = {one.name: one.modified or 0 for one in listed if one.kind is Kind.FILE}
    found = [_decide(source, one, times, known, max_bytes) for one in listed if _is_meant(source, one)]
    return sorted((one for one in found if one), key=lambda one: (one.file.modified, one.file.name))


def remote_file(source: SftpSource, one: Listed) -> RemoteFile:
    """The file that a listed name stands for; its path has an end, and holds no byte that text cannot."""
    name = one.name if len(one.name) <= _LONGEST_NAME else one.name[:_LONGEST_NAME] + b"..."
    shown = name.decode(errors="backslashreplace").replace("\x00", "\\x00")
    return RemoteFile(one.name, posixpath.join(source.folder, shown), one.size or 0, one.modified or 0)


def _is_meant(source: SftpSource, one: Listed) -> bool:
    """Whether the name is one that the source is after: as a shell sees it, and no folder, marker or mark."""
    name = one.name.decode(errors="surrogateescape")
    if one.kind is Kind.FOLDER or name in {".", ".."}:
        return False
    if any(ending and name.endswith(ending) for ending in (source.done_marker, source.mark)):
        return False
    hidden = name.startswith(".") and not source.pattern.startswith(".")
    return fnmatchcase(name, source.pattern) and not hidden


def _decide(
    source: SftpSource,
    one: Listed,
    times: Mapping[bytes, int],
    known: Mapping[Identity, Known],
    max_bytes: int,
) -> Decision | None:
    file = remote_file(source, one)
    before = known.get(file.identity)
    if reason := _unfit(one, max_bytes):
        return Decision(file, Act.LEAVE, reason, before)
    due = before is None or before.changed_seconds >= again_after(source.every_seconds)
    if before and before.state == "taken":
        wanted = _is_to_be_put_aside(source, one, times) and (due or not before.reason)
        return Decision(file, Act.PUT_ASIDE, known=before) if wanted else None
    if before and before.state == "left" and not due:
        return Decision(file, Act.LEAVE, before.reason or "", before)
    if reason := _unfinished(source, one, times, before):
        return Decision(file, Act.WAIT, reason, before)
    return Decision(file, Act.TAKE, known=before)


def _unfit(one: Listed, max_bytes: int) -> str | None:
    """Why this can be no file of ours, ever; None if it can."""
    if reason := _unfit_name(one.name):
        return reason
    if one.kind is not Kind.FILE:
        return "it is no regular file; links are not followed"
    if one.size is None or one.modified is None:
        return "the server does not say how large it is, or when it was changed"
    if one.size > max_bytes:
        return f"it has {one.size} bytes, at most {max_bytes} are taken; split it"
    return None


def _unfit_name(name: bytes) -> str | None:
    if not name or b"/" in name or b"\x00" in name:
        return "the server lists a name that no file can have"
    if len(name) > _LONGEST_NAME:
        return f"its name has more than {_LONGEST_NAME} bytes; shorten it"
    try:
        clean_filename(name.decode())
    except UnicodeDecodeError:
        return "its name is not UTF-8; rename it"
    except ValueError as error:
        return f"its name cannot be shown: {error}"
    return None


def _unfinished(source: SftpSource, one: Listed, times: Mapping[bytes, int], before: Known | None) -> str | None:
    """Why it may still be written to; None if it is finished."""
    if source.settled_seconds is not None:
        if before is None:
            return "it is seen for the first time"
        if before.seen_seconds < source.settled_seconds:
            return f"unchanged for {before.seen_seconds:.0f} s of {source.settled_seconds:g} s"
    elif source.done_marker is not None:
        marked = times.get(one.name + source.done_marker.encode())
        if marked is None:
            return f"there is no {source.done_marker} beside it"
        if marked < (one.modified or 0):  # times are in whole seconds: both may be of the same one
            return f"it was changed after its {source.done_marker}"
    elif source.rename is not None and fnmatchcase(one.name.decode(), source.rename):
        return f"it has not got its final name: it is still named as {source.rename}"
    return None


def _is_to_be_put_aside(source: SftpSource, one: Listed, times: Mapping[bytes, int]) -> bool:
    """Whether a taken file still has to be moved or marked."""
    return source.move_to is not None or (source.mark is not None and one.name + source.mark.encode() not in times)


def again_after(every_seconds: float) -> float:
    """Seconds after which what could not be done with one file is tried again: some looks, five minutes at most."""
    return min(5 * every_seconds, 300.0)


def pause_after(failures: int, every_seconds: float, jitter: float) -> float:
    """Seconds until the next look: longer after each failure, up to five minutes or the source's own rhythm.

    Args:
        failures: looks that failed since the last good one.
        every_seconds: the source's rhythm.
        jitter: from 0 to 1, by chance: gateways and sources are not to come all at once.
    """
    longest = max(every_seconds, 300.0)
    return float(min(longest, every_seconds * 2 ** min(failures, 10))) * (0.8 + 0.4 * jitter)
