"""The bodies of requests and answers of the API; OpenAPI is made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ingest_gateway.filenames import clean_filename
from rowstream.storage.parts import LEAST_PART_BYTES, MOST_PART_BYTES, MOST_PARTS

_Text = Annotated[str, StringConstraints(min_length=1, max_length=1_024, pattern=r"^[^\x00-\x1f\x7f]*$")]

Status = Literal[
    "awaiting_upload", "pending", "processing", "paused", "needs_review", "completed", "failed", "cancelled"
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PresignRequest(_Request):
    """A file that is to be uploaded."""

    record_type: str = Field(description="What each record is; GET /api/v1/record_types lists the known ones")
    filename: Annotated[str, AfterValidator(clean_filename)] = Field(description="The name to show to people")
    size_bytes: int = Field(strict=True, ge=0, description="The file's size in bytes")


class PresignedUrl(BaseModel):
    """Where to send the file: POST a form with `fields` and then the part `file`, or PUT the bare bytes."""

    upload_id: UUID = Field(description="Confirm this one when the file is there")
    method: Literal["POST", "PUT"] = Field(description="How to send the file")
    url: str = Field(description="Where to send the file")
    fields: dict[str, str] = Field(description="Form fields that go before the file with POST; empty with PUT")
    expires_at: datetime = Field(description="Until when the address takes the file")


class ConfirmRequest(_Request):
    """An upload whose file has been sent."""

    upload_id: UUID = Field(description="From the answer with the presigned URL")


class PartsRequest(PresignRequest):
    """A file that is to be uploaded in parts."""

    size_bytes: int = Field(strict=True, ge=1, description="The file's size in bytes")
    part_bytes: int | None = Field(
        None,
        strict=True,
        ge=LEAST_PART_BYTES,
        le=MOST_PART_BYTES,
        description="Size of each part but the last; without it, one that suits the file's size",
    )


class InParts(BaseModel):
    """How to send the file: part 1 is its first `part_bytes` bytes, and so on."""

    upload_id: UUID = Field(description="Ask for the parts' addresses with it, and complete it when all are there")
    part_bytes: int = Field(description="Size of each part but the last")
    parts: int = Field(description="How many parts there are")


class SignRequest(_Request):
    """Parts that are to be sent now."""

    numbers: list[Annotated[int, Field(strict=True, ge=1, le=MOST_PARTS)]] = Field(
        min_length=1, max_length=1_000, description="Their numbers; the first part is 1"
    )


class PartUrl(BaseModel):
    """Where to PUT the bytes of one part."""

    number: int
    url: str = Field(description="Where to send the part; again, if it fails or has to be sent once more")
    size_bytes: int = Field(description="So many bytes; a strict store takes no other number")


class PartUrls(BaseModel):
    """Where to send some parts."""

    items: list[PartUrl]
    expires_at: datetime = Field(description="Until when the addresses take them; ask again for fresh ones")


class PartThere(BaseModel):
    """A part that the store has."""

    number: int
    size_bytes: int
    etag: str = Field(description="Its entity tag; with most stores, the MD5 of its bytes")


class PartList(BaseModel):
    """One page of the parts that the store has, by number."""

    items: list[PartThere]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class ReferenceRequest(_Request):
    """An object that is stored already."""

    record_type: str = Field(description="What each record is; GET /api/v1/record_types lists the known ones")
    bucket: _Text = Field(description="Its bucket, which the gateway's operator has allowed")
    key: _Text = Field(description="Its key")
    etag: _Text | None = Field(None, description="Its entity tag; another object under this key is not taken")
    version_id: _Text | None = Field(None, description="Its version; a newer one is not taken")
    filename: str | None = Field(None, max_length=1_024, description="The name to show; the key's last part without it")


class CancelRequest(_Request):
    """How an upload is to be cancelled."""

    undo: bool = Field(default=False, strict=True, description="Take out again the rows that it has loaded")


class Upload(BaseModel):
    """An upload: what it is, where it stands, and what became of its records."""

    id: UUID
    organization_id: UUID
    status: Status
    version: int = Field(description="Rises with each change of status")
    attempt: int = Field(description="Which attempt at the upload, from 1")
    source_type: Literal["ui", "api", "ftp", "s3_event", "kafka"] = Field(description="The way in")
    source: str = Field(description="Who handed it in")
    source_event_id: str = Field(description="The Idempotency-Key, or the event's id")
    correlation_id: str = Field(description="Of the request that began it")
    traceparent: str = Field(description="W3C trace context of the request that began it")
    record_type: str
    filename: str
    etag: str | None = Field(description="The stored object's entity tag")
    version_id: str | None = Field(description="The stored object's version")
    size_bytes: int | None = Field(description="As announced, then as stored")
    total_records: int | None = Field(description="Null until the file was read to its end")
    processed_records: int = Field(description="Records that have their outcome")
    succeeded_records: int = Field(description="Records loaded")
    failed_records: int = Field(description="Records rejected")
    held_records: int = Field(description="Records held for review")
    unprocessed_records: int = Field(description="Records that could not be processed")
    errors_by_code: dict[str, int] = Field(description="Rejected records by their first error's code")
    failure_code: str | None = Field(description="Why the upload as a whole failed")
    failure_message: str | None = Field(description="The same in words, with the way out")
    created_by: str = Field(description="The name of the API key or of the person, or the event's source")
    created_by_kind: Literal["key", "user", "system"] = Field(description="What handed it in")
    created_by_id: UUID | None = Field(description="The id of that key or person")
    created_from: str | None = Field(description="The address that it came from")
    created_at: datetime
    accepted_at: datetime | None = Field(description="From here on it is never lost")
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None = Field(description="From acceptance to the end, or to now while it runs")
    records_split: int = Field(description="Records read from the file so far")
    bytes_read: int = Field(description="Bytes read from the file so far")
    content_sha256: str | None = Field(description="Of all its bytes, in hex; null until they were all read")
    duplicate_of: UUID | None = Field(description="The earliest upload of the same bytes as the same record type")
    requested: Literal["run", "pause", "cancel"] = Field(description="What was asked of it last; `status` follows")
    undo: bool = Field(description="Whether its rows are to be taken out again, as it was cancelled")
    undone_records: int = Field(description="Rows taken out again")
    undone_at: datetime | None = Field(description="When all of them were")


class UploadList(BaseModel):
    """One page of uploads, the newest first."""

    items: list[Upload]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class Rejection(BaseModel):
    """A rejected record: where it stood, what was wrong with which cell, and its own text."""

    row_number: int = Field(description="As a spreadsheet shows it: the header is row 1")
    error_code: str = Field(description="The first error's code")
    error_message: str = Field(description="The first error in words")
    errors: list[dict[str, Any]] = Field(description="Every error: field, code, message, value")
    row_data: dict[str, Any] | None = Field(description="Header to original text, in file order")
    raw_text: str | None = Field(description="The line, of a record that could not be parsed")


class RejectionList(BaseModel):
    """One page of rejected records, in row order."""

    items: list[Rejection]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class DeadLetter(BaseModel):
    """Records of an upload that were given up on, for a reason that is not in the file."""

    id: UUID
    upload_id: UUID
    filename: str
    upload_status: Status
    chunk_number: int | None = Field(description="The chunk that they are; null if it could not be told")
    attempt: int = Field(description="At which attempt at the upload")
    error_code: str
    reason: str = Field(description="What went wrong, with no text of the records")
    tries: int = Field(description="How often it was tried")
    records: int = Field(description="How many records")
    first_row: int | None = Field(description="Their first row, as a spreadsheet counts")
    last_row: int | None = Field(description="Their last row; other records may lie between")
    created_at: datetime
    redriven_at: datetime | None = Field(description="When the upload was asked to try again; null if it was not")


class DeadLetterList(BaseModel):
    """One page of dead letters, the newest first."""

    items: list[DeadLetter]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one")


class RecordTypeInfo(BaseModel):
    """An installed kind of record."""

    name: str
    title: str
    version: int
    columns: list[str] = Field(description="The columns of a file; a file may have them in any order")
    required: list[str] = Field(description="The columns that no record may leave empty")
    key: list[str] = Field(description="The columns that together name a record")


class RecordTypeList(BaseModel):
    """The installed kinds of record."""

    items: list[RecordTypeInfo]
    next_cursor: None = None
