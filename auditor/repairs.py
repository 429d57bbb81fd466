"""Each mends one thing for one upload, in the caller's transaction, and says in the audit log that it did.

Each returns what that changed, to be counted once committed, or None if there was nothing to mend any more: the message
that was thought lost has come meanwhile.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection

from auditor import attempts, audit_log, closing, uploads
from auditor.completion import SOURCE
from auditor.projection import Folded, fold
from auditor.totals import Totals, effective
from rowstream.database import outbox
from rowstream.kafka.topics import UPLOADS
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.envelope import Envelope
from rowstream.messages.upload_accepted import UploadAccepted

_MOST_SECONDS = 40.0  # once whatever was away is back, an upload moves within a minute


def fold_again(connection: Connection, results: Sequence[ChunkResult]) -> Folded | None:
    """Fold results of one upload that were lost on their way."""
    folded = fold(connection, results)
    if all(change == Totals() for _, change in folded.added):
        return None
    _note(connection, results[0].upload_id, "chunk_results", len(results))
    return folded


def rebuild(connection: Connection, upload_id: UUID) -> Folded | None:
    """Make an upload's totals what its audit log adds up to."""
    uploads.limit_waiting(connection)
    upload = attempts.lock(connection, upload_id)
    if upload is None:
        return None
    change = effective(audit_log.outcomes(connection, upload_id)) - upload.totals
    if audit_log.has(connection, upload, closing.EVENT):
        change = replace(change, unprocessed=0)  # holds those that never came to a chunk's outcome
    if change == Totals():
        return None
    uploads.add_totals(connection, upload, change)
    _note(connection, upload_id, "totals")
    return Folded()


def change_status(
    connection: Connection, upload_id: UUID, organization_id: UUID, kind: str = "status"
) -> Folded | None:
    """Make the changes of status that are due, though no message or nobody said so; `kind` is what was missed."""
    uploads.limit_waiting(connection)
    before = uploads.lock(connection, upload_id)
    folded = fold(connection, (), [(upload_id, organization_id)])
    after = uploads.lock(connection, upload_id)
    if before is None or after is None or before.version == after.version:
        return None
    _note(connection, upload_id, kind)
    return folded


def announce_again(connection: Connection, upload_id: UUID) -> Folded | None:
    """Store the event that wakes splitters once more, if the upload still waits for it."""
    uploads.limit_waiting(connection)
    upload = attempts.lock(connection, upload_id)
    if upload is None or upload.status != "pending":
        return None
    accepted = UploadAccepted(
        upload_id=upload.id,
        organization_id=upload.organization_id,
        attempt=upload.attempt,
        record_type=upload.record_type,
    )
    envelope = Envelope.new(
        "upload_accepted",
        source=SOURCE,
        organization_id=upload.organization_id,
        correlation_id=upload.correlation_id,
        traceparent=upload.traceparent,
    )
    outbox.put(connection, topic=UPLOADS, key=str(upload.id), message=accepted, envelope=envelope)
    _note(connection, upload_id, "upload_accepted")
    return Folded()


def is_due_again(times: int, seconds: float, patience: float) -> bool:
    """Whether to announce an upload again, `seconds` after the last of `times` repeats; the waits double. Pure."""
    return seconds >= min(patience * 2.0 ** min(times, 16), max(_MOST_SECONDS, patience))


def _note(connection: Connection, upload_id: UUID, kind: str, things: int = 1) -> None:
    upload = uploads.lock(connection, upload_id)
    if upload is not None:
        audit_log.note(connection, upload, "repaired", kind=kind, things=things)
