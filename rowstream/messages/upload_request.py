"""UploadRequest: a request, by a system that speaks Kafka, to take in an object that is already stored."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """A request, by a system that speaks Kafka, to take in an object that is already stored.

    The fields are described in `schemas/UploadRequest.avsc`.
    """

    SCHEMA: ClassVar[str] = "UploadRequest"

    record_type: str
    bucket: str
    key: str
    filename: str | None = None
    etag: str | None = None
    version_id: str | None = None
