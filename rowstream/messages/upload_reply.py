"""UploadReply: what became of a request by Kafka."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReply:
    """What became of a request by Kafka: one for each time that it came.

    The fields are described in `schemas/UploadReply.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadReply"

    request_source: str | None
    request_id: str | None
    outcome: str
    upload_id: UUID | None
    reason: str | None
