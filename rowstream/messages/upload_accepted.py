"""UploadAccepted: an upload was accepted: a wake-up for the splitters; what to do is read from the database."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAccepted:
    """An upload was accepted: a wake-up for the splitters; what to do is read from the database.

    The fields are described in `schemas/UploadAccepted.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadAccepted"

    upload_id: UUID
    organization_id: UUID
    attempt: int
    record_type: str
