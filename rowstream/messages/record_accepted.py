"""RecordAccepted: a record was loaded, of a type that wants it known. May come twice, under the same id."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAccepted:
    """A record was loaded, of a type that wants it known. May come twice, under the same id.

    The fields are described in `schemas/RecordAccepted.avsc`.
    """

    SCHEMA: ClassVar[str] = "RecordAccepted"

    upload_id: UUID
    organization_id: UUID
    row_number: int
    record_type: str
    record_type_version: int
    attempt: int
    record: str | None
