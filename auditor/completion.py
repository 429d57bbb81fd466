"""When an upload starts, ends, and how: a decision over its row and its split, and the guarded write of it.

Messages only say that something may have changed; the plan and a failure of the splitter are read from `upload_splits`.
A change of status raises the version, and stores the `UploadStatus` that tells of it in the same transaction.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, text

from auditor import audit_log, uploads, wishes
from auditor.audit_log import Tally
from auditor.uploads import Upload
from rowstream.database import outbox
from rowstream.database.tables import TERMINAL_STATUSES
from rowstream.kafka.topics import UPLOAD_STATUS
from rowstream.messages.envelope import Envelope
from rowstream.messages.upload_status import UploadStatus

SOURCE = "auditor"
UNPROCESSED = "UNK_001"
_MOVING = ("pending", "processing", "paused")
_TO_CANCEL = (*_MOVING, "needs_review")

_READ_SPLIT = text("""
    SELECT attempt, chunks, records, records_split, failure_code, failure_message FROM upload_splits
    WHERE batch_upload_id = :upload_id
""")
_CHANGE_STATUS = text("""
    UPDATE batch_uploads
    SET status = :status, version = version + 1, failure_code = :failure_code, failure_message = :failure_message,
        started_at = coalesce(started_at, CASE WHEN :status = 'processing' THEN clock_timestamp() END),
        completed_at = CASE WHEN :ends THEN clock_timestamp() END
    WHERE id = :upload_id AND status = :before AND version = :version
    RETURNING version, extract(epoch FROM completed_at - coalesce(accepted_at, created_at))::float AS seconds
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What the splitter says of an upload.

    Attributes:
        chunks, records: How much there is in all; None until the file was read to its end.
        records_split: Records cut so far.
    """

    attempt: int
    chunks: int | None = None
    records: int | None = None
    records_split: int = 0
    failure_code: str | None = None
    failure_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of status, the event that the audit log notes for it, and why it failed if it did."""

    status: str
    event: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None

    @property
    def ends(self) -> bool:
        """Whether the upload is over with it."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An upload that reached an end.

    Attributes:
        seconds: From its acceptance to its end, by the database's clock.
        cut_short: Chunks of it may still be at work, so it must be closed (`auditor.closing`).
    """

    upload_id: UUID
    record_type: str
    status: str
    seconds: float
    cut_short: bool
    failure_code: str | None = None


def next_step(
    upload: Upload, split: Split | None, tally: Tally | None = None, *, requested: str = "run"
) -> Step | None:
    """The next change of an upload's status, or None while there is none to make; pure.

    What was asked of it goes before all that it came to. `tally` is needed only where `all_counted` says so, as it
    costs a look at the whole audit log of the upload.
    """
    if requested == "cancel" and upload.status in _TO_CANCEL:
        return Step(status="cancelled", event="upload_cancelled")
    if upload.status not in _MOVING:
        return None
    if split is not None and split.attempt != upload.attempt:
        split = None  # of the attempt before
    if split is not None and split.failure_code is not None:
        return Step(
            status="failed",
            event="upload_failed",
            failure_code=split.failure_code,
            failure_message=split.failure_message,
        )
    if requested == "pause":
        return None if upload.status == "paused" else Step(status="paused", event="upload_paused")
    return _next_by_progress(upload, split, tally)


def _next_by_progress(upload: Upload, split: Split | None, tally: Tally | None) -> Step | None:
    begun = split is not None and (upload.totals.counted > 0 or split.chunks is not None)
    if upload.status == "paused":
        return Step(status="processing" if begun else "pending", event="upload_resumed")
    if upload.status == "pending":
        return Step(status="processing") if begun else None
    if split is None or tally is None or not all_counted(upload, split):
        return None
    if tally.chunks != split.chunks or tally.stale_unprocessed > 0:
        return None
    return _end(upload)


def all_counted(upload: Upload, split: Split | None) -> bool:
    """Whether the totals have come to what the file holds, so that it is time to take the tally."""
    return split is not None and split.records is not None and upload.totals.counted == split.records


def _end(upload: Upload) -> Step:
    totals = upload.totals
    if totals.unprocessed:
        message = (
            f"{totals.unprocessed} of {totals.counted} records could not be processed, for a reason that is not in the"
            f" file; the others have their outcome. See why with rowstream dead-letters list --upload {upload.id}, and"
            f" when the cause is gone: rowstream retry {upload.id}"
        )
        return Step(status="failed", event="upload_failed", failure_code=UNPROCESSED, failure_message=message)
    if totals.held:
        return Step(status="needs_review", event="upload_needs_review")
    return Step(status="completed", event="upload_completed")


def read_split(connection: Connection, upload_id: UUID) -> Split | None:
    """What the splitter says of an upload, if one has noted it."""
    row = connection.execute(_READ_SPLIT, {"upload_id": upload_id}).mappings().one_or_none()
    return None if row is None else Split(**row)


def advance(connection: Connection, upload: Upload) -> list[Ended]:
    """Make every change of status that is due for a locked upload; returns its end, if it came to it."""
    split = read_split(connection, upload.id)
    if split and split.records is not None and split.attempt == upload.attempt and upload.total_records is None:
        upload = uploads.set_total_records(connection, upload, split.records)
        audit_log.note(connection, upload, "upload_split", chunks=split.chunks, records=split.records)
    requested = wishes.requested(connection, upload.id)
    while True:
        near_the_end = upload.status in _MOVING and all_counted(upload, split)
        tally = audit_log.tally(connection, upload) if near_the_end else None
        step = next_step(upload, split, tally, requested=requested)
        if step is None:
            return []
        upload, seconds = change_status(connection, upload, step)
        if step.ends:
            return [
                Ended(
                    upload_id=upload.id,
                    record_type=upload.record_type,
                    status=step.status,
                    seconds=seconds,
                    cut_short=step.status == "cancelled" or (split is not None and split.failure_code is not None),
                    failure_code=step.failure_code,
                )
            ]


def change_status(connection: Connection, upload: Upload, step: Step) -> tuple[Upload, float]:
    """Make one change, with its audit row and its message; returns the upload, and seconds since acceptance."""
    facts = {
        "upload_id": upload.id,
        "before": upload.status,
        "version": upload.version,
        "status": step.status,
        "ends": step.ends,
        "failure_code": step.failure_code,
        "failure_message": step.failure_message,
    }
    row = connection.execute(_CHANGE_STATUS, facts).one()
    upload = replace(
        upload,
        status=step.status,
        version=row.version,
        failure_code=step.failure_code,
        failure_message=step.failure_message,
    )
    if step.event:
        audit_log.note(connection, upload, step.event, version=upload.version, failure_code=step.failure_code)
    announce(connection, upload)
    return upload, row.seconds or 0.0


def announce(connection: Connection, upload: Upload) -> None:
    """Store the message that says how the upload stands."""
    totals = upload.totals
    status = UploadStatus(
        upload_id=upload.id,
        organization_id=upload.organization_id,
        version=upload.version,
        status=upload.status,
        attempt=upload.attempt,
        record_type=upload.record_type,
        total_records=upload.total_records,
        processed_records=totals.processed,
        succeeded_records=totals.succeeded,
        failed_records=totals.failed,
        held_records=totals.held,
        unprocessed_records=totals.unprocessed,
        failure_code=upload.failure_code,
        failure_message=upload.failure_message,
    )
    envelope = Envelope.new(
        "upload_status",
        source=SOURCE,
        organization_id=upload.organization_id,
        correlation_id=upload.correlation_id,
        traceparent=upload.traceparent,
        id_=f"{upload.id}/{upload.version}",
    )
    outbox.put(connection, topic=UPLOAD_STATUS, key=str(upload.id), message=status, envelope=envelope)
