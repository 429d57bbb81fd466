"""UploadFailed: a file could not be split."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFailed:
    """A file could not be split.

    The fields are described in `schemas/UploadFailed.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadFailed"

    upload_id: UUID
    organization_id: UUID
    attempt: int
    code: str
    message: str
