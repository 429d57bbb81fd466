"""The sources file as the gateway goes by it: read when it starts, and again whenever the file has changed.

What a source is, is said in `rowstream.runtime.sources`. A changed file that is wrong changes nothing: what was read
last goes on, the log says what is wrong, and readiness does not suffer, since all else works.
"""

import threading
from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from ingest_gateway.gateway import Gateway
from rowstream.database.access_tables import organizations
from rowstream.runtime import sources
from rowstream.runtime.logging import get_logger
from rowstream.runtime.sources import S3Source, SftpSource, Sources, WrongSources

log = get_logger(__name__)

_NONE = Sources()
_Look = tuple[int, int, int]


class NoSuchOrganization(LookupError):
    """The sources file names an organization that does not exist, or is closed."""


class SourcesFile:
    """What the sources file says now; for use by several threads. Without a file there are no sources."""

    def __init__(self, path: Path | None) -> None:
        """Read it.

        Raises:
            WrongSources: it cannot be read, or says what cannot be.
        """
        self._path, self._lock = path, threading.Lock()
        self._seen: _Look | None = None
        self._sources = _NONE
        if path is not None:
            self._seen = _look(path)
            try:
                self._sources = sources.read(path)
            except WrongSources as error:
                raise WrongSources(f"{error} (ROWSTREAM_GATEWAY__SOURCES_FILE names it)") from error

    def now(self) -> Sources:
        """What it says; looks whether the file has changed, which costs no more than asking for its time."""
        if self._path is not None:
            with self._lock:
                self._read_if_changed(self._path)
        return self._sources

    def _read_if_changed(self, path: Path) -> None:
        seen = _look(path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._sources = sources.read(path)
        except WrongSources as error:
            log.error("the sources file is wrong, what it said before goes on", reason=str(error))  # noqa: TRY400 - no fault of the code
        else:
            log.info("sources read", s3=len(self._sources.s3), sftp=len(self._sources.sftp))


def organization_of(gateway: Gateway, source: S3Source | SftpSource) -> UUID:
    """The id of the organization that a source hands in for.

    Raises:
        NoSuchOrganization: there is none, or it is closed.
        Retryable: the database does not answer.
    """
    return organization_called(gateway, source.organization)


def organization_called(gateway: Gateway, called: str) -> UUID:
    """The id of the organization that is called so, by its name or its id; raises as `organization_of` does."""
    try:
        is_it = organizations.c.id == UUID(called)
    except ValueError:
        is_it = organizations.c.name == called
    query = select(organizations.c.id).where(is_it, organizations.c.closed_at.is_(None))
    with gateway.reading_keys() as connection:
        found: UUID | None = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise NoSuchOrganization(f"there is no organization {called!r}, or it is closed")
    return found


def _look(path: Path) -> _Look | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
