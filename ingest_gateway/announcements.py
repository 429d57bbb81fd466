"""What the gateway says of an upload: stored in the outbox, in the transaction that makes it true."""

from typing import Any

from sqlalchemy import Connection, Row

from rowstream.database import outbox
from rowstream.kafka.topics import UPLOAD_STATUS, UPLOADS
from rowstream.messages.envelope import Envelope
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_status import UploadStatus

_SERVICE = "ingest_gateway"


def say_accepted(connection: Connection, row: Row[Any]) -> None:
    """Say that an upload waits to be split, and how it stands; `row` has all columns of `batch_uploads`."""
    message = UploadAccepted(
        upload_id=row.id, organization_id=row.organization_id, attempt=row.attempt, record_type=row.record_type
    )
    envelope = _envelope(row, "upload_accepted", f"{row.id}.{row.attempt}")
    outbox.put(connection, topic=UPLOADS, key=str(row.id), message=message, envelope=envelope)
    say_status(connection, row)


def say_status(connection: Connection, row: Row[Any]) -> None:
    """Say how an upload stands."""
    message = UploadStatus(
        upload_id=row.id,
        organization_id=row.organization_id,
        version=row.version,
        status=row.status,
        attempt=row.attempt,
        record_type=row.record_type,
        total_records=row.total_records,
        processed_records=row.processed_records,
        succeeded_records=row.succeeded_records,
        failed_records=row.failed_records,
        held_records=row.held_records,
        unprocessed_records=row.unprocessed_records,
        failure_code=row.failure_code,
        failure_message=row.failure_message,
    )
    envelope = _envelope(row, "upload_status", f"{row.id}.{row.version}")
    outbox.put(connection, topic=UPLOAD_STATUS, key=str(row.id), message=message, envelope=envelope)


def _envelope(row: Row[Any], type_: str, id_: str) -> Envelope:
    return Envelope.new(
        type_,
        source=_SERVICE,
        organization_id=row.organization_id,
        correlation_id=row.correlation_id,
        traceparent=row.traceparent,
        id_=id_,
    )
