"""What is remembered of partners' files (`sftp_files`), and which gateway works a source now.

A file goes through seen, taking, taken; left says that nothing can be done with it for now, and why. Each time that it
is taken on, it gets a new key in the store: whoever finds another key in the row when it comes to accepting was
overtaken, and lets go. So an object that was accepted is never written again, not even by a gateway that was away.

Each function runs in the caller's transaction, which already acts for the organization.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, extract, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingest_gateway.arrivals.sftp_plan import Identity, Known, RemoteFile
from rowstream.database.arrival_tables import sftp_files
from rowstream.database.connection import retryable_errors

_AT_ONCE = 1_000
_NOW = func.clock_timestamp()
_KEY = (
    sftp_files.c.organization_id,
    sftp_files.c.source,
    sftp_files.c.path,
    sftp_files.c.size_bytes,
    sftp_files.c.modified_at,
)
_TRY = text("SELECT pg_try_advisory_lock(hashtextextended('rowstream sftp ' || :source, 0))")


class Lock:
    """The right to work a source, as long as the session that took it lives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """Make sure that it is still had.

        Raises:
            Retryable: the session is gone, and the lock with it.
        """
        with retryable_errors():
            self._connection.execute(text("SELECT 1"))


@contextmanager
def working_alone(engine: Engine, source: str) -> Iterator[Lock | None]:
    """The right to work a source; None if another gateway has it.

    Raises:
        Retryable: the database does not answer.
    """
    with retryable_errors(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # closed at the end and not kept for others: so the lock ends with it, whatever happens
        has_it = connection.execute(_TRY, {"source": source}).scalar_one()
        yield Lock(connection) if has_it else None


def known(connection: Connection, source: str, paths: Sequence[str]) -> dict[Identity, Known]:
    """What is remembered of the files with these paths, and of all others of the source that were not taken."""
    columns = sftp_files.c
    query = select(
        columns.path,
        columns.size_bytes,
        extract("epoch", columns.modified_at).label("modified"),
        columns.state,
        extract("epoch", _NOW - columns.seen_at).label("seen_seconds"),
        extract("epoch", _NOW - columns.changed_at).label("changed_seconds"),
        columns.reason,
        columns.s3_key,
    ).where(columns.source == source)
    wanted: list[ColumnElement[bool]] = [columns.state != "taken"]
    wanted += [columns.path == func.any(paths[at : at + _AT_ONCE]) for at in range(0, len(paths), _AT_ONCE)]
    found: dict[Identity, Known] = {}
    for condition in wanted:
        for row in connection.execute(query.where(condition)):
            found[row.path, row.size_bytes, int(row.modified)] = Known(
                state=row.state,
                seen_seconds=float(row.seen_seconds),
                changed_seconds=float(row.changed_seconds),
                reason=row.reason,
                key=row.s3_key,
            )
    return found


def see(connection: Connection, organization_id: UUID, source: str, files: Collection[RemoteFile]) -> None:
    """Remember files that are seen for the first time."""
    rows = [{**_key(organization_id, source, file), "state": "seen"} for file in files]
    if rows:
        connection.execute(upsert(sftp_files).on_conflict_do_nothing(), rows)


def leave(connection: Connection, organization_id: UUID, source: str, left: Iterable[tuple[RemoteFile, str]]) -> None:
    """Remember why files are left where they are; what was taken stays so."""
    for file, reason in left:
        row = upsert(sftp_files).values(**_key(organization_id, source, file), state="left", reason=reason)
        change = {"state": "left", "reason": row.excluded.reason, "changed_at": _NOW}
        connection.execute(row.on_conflict_do_update(index_elements=_KEY, set_=change, where=_IS_OPEN))


def forget(connection: Connection, organization_id: UUID, source: str, gone: Iterable[Identity]) -> list[str]:
    """Forget files that were not taken and are not there any more, as they were.

    Returns:
        Where in the store something of theirs may lie, which from the commit on nobody comes to accept.
    """
    keys = []
    for path, size, modified in gone:
        file = RemoteFile(b"", path, size, modified)
        forgotten = delete(sftp_files).where(_is(organization_id, source, file), _IS_OPEN)
        key = connection.execute(forgotten.returning(sftp_files.c.s3_key)).scalar_one_or_none()
        keys += [key] if key else []
    return keys


def claim(connection: Connection, organization_id: UUID, source: str, file: RemoteFile, key: str) -> bool:
    """Take a file on, to be stored under this key; False if it was taken meanwhile."""
    row = upsert(sftp_files).values(**_key(organization_id, source, file), state="taking", s3_key=key)
    change = {"state": "taking", "s3_key": key, "reason": None, "changed_at": _NOW}
    claimed = row.on_conflict_do_update(index_elements=_KEY, set_=change, where=_IS_OPEN)
    return connection.execute(claimed.returning(sftp_files.c.state)).one_or_none() is not None


def hold(connection: Connection, organization_id: UUID, source: str, file: RemoteFile, key: str | None) -> bool:
    """Lock the file's row until the transaction ends; False if it is not ours (any more) to take under this key."""
    query = select(sftp_files.c.state).where(
        _is(organization_id, source, file), _IS_OPEN, sftp_files.c.s3_key.is_not_distinct_from(key)
    )
    return connection.execute(query.with_for_update()).one_or_none() is not None


def take(connection: Connection, organization_id: UUID, source: str, file: RemoteFile, upload_id: UUID) -> None:
    """Remember that a file became this upload."""
    row = upsert(sftp_files).values(**_key(organization_id, source, file), state="taken", batch_upload_id=upload_id)
    change = {"state": "taken", "batch_upload_id": upload_id, "reason": None, "changed_at": _NOW}
    connection.execute(row.on_conflict_do_update(index_elements=_KEY, set_=change))


def stays(connection: Connection, organization_id: UUID, source: str, file: RemoteFile, reason: str) -> None:
    """Remember why a taken file could not be put aside."""
    change = update(sftp_files).where(_is(organization_id, source, file), sftp_files.c.state == "taken")
    connection.execute(change.values(reason=reason, changed_at=_NOW))


_IS_OPEN = sftp_files.c.state != "taken"


def _key(organization_id: UUID, source: str, file: RemoteFile) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "source": source,
        "path": file.path,
        "size_bytes": file.size,
        "modified_at": datetime.fromtimestamp(file.modified, UTC),
    }


def _is(organization_id: UUID, source: str, file: RemoteFile) -> ColumnElement[bool]:
    return and_(
        *(column == value for column, value in zip(_KEY, _key(organization_id, source, file).values(), strict=True))
    )
