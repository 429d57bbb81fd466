"""Which uploads of an organization are the same file: equal bytes, handed in as the same record type.

Only uploads that stand count: one that has failed, was cancelled or never got its file is nobody's twin. All that is
decided here is decided under one lock for each (organization, record type, size), so that of two at once each sees
what the other has decided.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from splitter.header import FileRejected
from splitter.waiting import Job

SAME_FILE = "DUP_002"

# Whoever was stopped in the middle holds the lock until the server ends its transaction; the others try again then.
_LOCK = text("SELECT set_config('lock_timeout', '2s', true), pg_advisory_xact_lock(hashtextextended(:content, 0))")
_STANDING = """
    FROM batch_uploads u
    LEFT JOIN upload_splits s ON s.batch_upload_id = u.id
    LEFT JOIN upload_control c ON c.batch_upload_id = u.id
    WHERE u.organization_id = :organization_id AND u.record_type = :record_type AND u.size_bytes = :size_bytes
      AND u.id <> :upload_id AND u.status NOT IN ('awaiting_upload', 'failed', 'cancelled')
      AND s.failure_code IS NULL AND coalesce(c.requested, 'run') <> 'cancel'
"""
_IN_THE_WAY = text(f"""
    SELECT u.id AS upload_id, u.filename, u.accepted_at, s.content_sha256 AS sha256,
           u.s3_bucket AS bucket, u.s3_key AS key, u.etag, u.size_bytes
    {_STANDING} AND (u.id < :upload_id OR s.plan IS NOT NULL) ORDER BY u.id
""")
_EARLIEST = text(f"""
    SELECT u.id {_STANDING} AND u.id < :upload_id AND s.content_sha256 = :sha256 ORDER BY u.id LIMIT 1
""")
_MARK_LATER = text("""
    UPDATE upload_splits SET duplicate_of = :upload_id
    WHERE organization_id = :organization_id AND record_type = :record_type AND content_sha256 = :sha256
      AND batch_upload_id > :upload_id AND (duplicate_of IS NULL OR duplicate_of > :upload_id)
""")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was confirmed."""

    bucket: str
    key: str
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Twin:
    """An upload that may be the same file; `sha256` is None while nobody has noted it."""

    upload_id: UUID
    filename: str
    accepted_at: datetime
    sha256: bytes | None
    stored: Stored


class SameFile(FileRejected):
    """The organization refuses files that came before, and this one did; `twin` is the upload that has it."""

    def __init__(self, twin: Twin) -> None:
        super().__init__(
            SAME_FILE,
            f"the same file as upload {twin.upload_id} ({twin.filename!r}), handed in on"
            f" {twin.accepted_at:%Y-%m-%d at %H:%M} UTC; nothing of it was loaded again. If it is meant to be, set the"
            " organization's duplicate policy to warn and retry this upload",
        )
        self.twin = twin.upload_id


def lock(connection: Connection, job: Job) -> None:
    """Be the only one who decides about files of this size, until the transaction ends."""
    connection.execute(_LOCK, {"content": f"content/{job.organization_id}/{job.record_type}/{job.size_bytes}"})


def in_the_way(connection: Connection, job: Job) -> list[Twin]:
    """The uploads because of which this one is to be refused should they have its bytes, the lowest id first.

    They are those of lower id, and those that were planned already: of two at once the lower id wins, unless the
    higher one was let in before the lower one was there.
    """
    rows = connection.execute(_IN_THE_WAY, _facts(job))
    return [
        Twin(
            upload_id=row.upload_id,
            filename=row.filename,
            accepted_at=row.accepted_at,
            sha256=None if row.sha256 is None else bytes(row.sha256),
            stored=Stored(row.bucket, row.key, row.etag, row.size_bytes),
        )
        for row in rows
    ]


def earliest(connection: Connection, job: Job, sha256: bytes) -> UUID | None:
    """The upload of lowest id among those before this one that have its bytes."""
    found: UUID | None = connection.execute(_EARLIEST, {**_facts(job), "sha256": sha256}).scalar_one_or_none()
    return found


def mark_later(connection: Connection, job: Job, sha256: bytes) -> None:
    """Say of later uploads that they are the same file as this one, the earliest, which came to its end after them."""
    connection.execute(_MARK_LATER, {**_facts(job), "sha256": sha256})


def _facts(job: Job) -> dict[str, Any]:
    return {
        "organization_id": job.organization_id,
        "record_type": job.record_type,
        "size_bytes": job.size_bytes,
        "upload_id": job.upload_id,
    }
