"""UploadSplit: a file was read to its end: how much there is."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSplit:
    """A file was read to its end: how much there is.

    The fields are described in `schemas/UploadSplit.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadSplit"

    upload_id: UUID
    organization_id: UUID
    attempt: int
    chunks: int
    records: int
