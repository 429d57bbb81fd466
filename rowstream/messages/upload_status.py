"""UploadStatus: the state of an upload changed. Ignore a version lower than one already seen."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStatus:
    """The state of an upload changed. Ignore a version lower than one already seen.

    The fields are described in `schemas/UploadStatus.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadStatus"

    upload_id: UUID
    organization_id: UUID
    version: int
    status: str
    attempt: int
    record_type: str
    total_records: int | None = None
    processed_records: int
    succeeded_records: int
    failed_records: int
    held_records: int
    unprocessed_records: int
    failure_code: str | None = None
    failure_message: str | None = None
