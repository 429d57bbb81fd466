"""ChunkResult: the outcome of one chunk: exactly its row in the ledger."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResult:
    """The outcome of one chunk: exactly its row in the ledger.

    The fields are described in `schemas/ChunkResult.avsc`.
    """

    SCHEMA: ClassVar[str] = "ChunkResult"

    upload_id: UUID
    organization_id: UUID
    attempt: int
    chunk_number: int
    lane: int
    lane_seq: int
    first_row: int
    last_row: int
    records: int
    outcome: str
    succeeded_records: int
    failed_records: int
    held_records: int
    unprocessed_records: int
    errors_by_code: dict[str, int]
    started_at: datetime
    duration_ms: int
    worker: str = ""
