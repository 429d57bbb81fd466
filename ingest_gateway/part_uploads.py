"""Uploads whose files are sent in parts: what was begun in the store, and how large the parts are.

Each function runs in the caller's transaction, which already acts for the organization.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from ingest_gateway.accept import Place, place_in
from rowstream.database.arrival_tables import multipart_uploads
from rowstream.database.tables import batch_uploads
from rowstream.storage.parts import count_of
from rowstream.storage.store import Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class InParts:
    """An upload whose file is sent in parts; all but the last have `part_bytes`."""

    place: Place
    size_bytes: int
    part_bytes: int
    begun: Begun

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return count_of(self.size_bytes, self.part_bytes)


def note_begun(
    connection: Connection, organization_id: UUID, upload_id: UUID, s3_upload_id: str, part_bytes: int
) -> bool:
    """Note that the parts of an upload may be sent; False if that was noted before, with another id of the store's."""
    row = insert_or_ignore(multipart_uploads).values(
        organization_id=organization_id, batch_upload_id=upload_id, s3_upload_id=s3_upload_id, part_bytes=part_bytes
    )
    made = connection.execute(row.on_conflict_do_nothing().returning(multipart_uploads.c.batch_upload_id))
    return made.one_or_none() is not None


def find(connection: Connection, upload_id: UUID) -> InParts | None:
    """The upload, if the organization has it and it is sent in parts."""
    parts = multipart_uploads.c
    query: Select[Any] = (
        select(*batch_uploads.c, parts.s3_upload_id, parts.part_bytes)
        .join_from(multipart_uploads, batch_uploads, parts.batch_upload_id == batch_uploads.c.id)
        .where(batch_uploads.c.id == upload_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    begun = Begun(bucket=row.s3_bucket, key=row.s3_key, id=row.s3_upload_id)
    return InParts(place=place_in(row), size_bytes=row.size_bytes, part_bytes=row.part_bytes, begun=begun)


def note_completed(connection: Connection, upload_id: UUID) -> None:
    """Note that the object was put together."""
    change = update(multipart_uploads).where(multipart_uploads.c.batch_upload_id == upload_id)
    connection.execute(change.values(completed_at=func.clock_timestamp()))
