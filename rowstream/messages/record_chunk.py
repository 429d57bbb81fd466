"""RecordChunk: up to 1,000 records of one lane of one upload."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChunk:
    """Up to 1,000 records of one lane of one upload.

    The fields are described in `schemas/RecordChunk.avsc`.
    """

    SCHEMA: ClassVar[str] = "RecordChunk"

    upload_id: UUID
    organization_id: UUID
    attempt: int
    epoch: int
    lane: int
    lane_seq: int
    chunk_number: int
    record_type: str
    record_type_version: int
    first_row: int
    last_row: int
    record_count: int
    columns: list[dict[str, Any]]
    records: bytes
    rejections: list[dict[str, Any]]
    digest: bytes
