"""Brings an upload to rest that was closed before all its chunks had an outcome: failed by the splitter, or cancelled.

From the commit that closed it on, processors drop its chunks; but one may be at work on chunks that it judged before.
So each lane is locked once more: whoever held it has then committed or given up, and what the ledger has is all that
it will ever have. The records split so far that have no ledger row are counted as unprocessed.
"""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from auditor import attempts, audit_log, completion, ledger, projection, uploads
from auditor.completion import Split
from auditor.patience import DATABASE_AWAY
from auditor.projection import Folded
from auditor.totals import Totals
from auditor.uploads import Upload
from rowstream.database.connection import first_line
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

EVENT = "upload_closed"
_LOCK_MS = 1_000
_LOCK_LANES = text("SELECT lane FROM upload_lanes WHERE batch_upload_id = :upload_id ORDER BY lane FOR UPDATE")
_RAISE_VERSION = text("UPDATE batch_uploads SET version = version + 1 WHERE id = :upload_id RETURNING version")


def close(connection: Connection, upload_id: UUID) -> Folded | None:
    """Fold what the ledger has of a closed upload and count the rest, in a transaction of its own, once an attempt.

    Returns what that changed, or None if the upload is at rest already.

    Raises:
        sqlalchemy.exc.OperationalError: a lane is still being worked on; try again later.
    """
    uploads.limit_waiting(connection, lock_ms=_LOCK_MS)
    # The lanes first, as processors do.
    connection.execute(_LOCK_LANES, {"upload_id": upload_id})
    upload = attempts.lock(connection, upload_id)
    if upload is None or upload.status not in ("failed", "cancelled") or audit_log.has(connection, upload, EVENT):
        return None
    upload, change = projection.add(connection, upload, ledger.not_folded(connection, [upload_id]))
    split = completion.read_split(connection, upload_id)
    known = ledger.records_of(connection, upload_id)
    total = total_of(split, known)
    _count_the_rest(connection, upload, total=total, rest=total - known)
    return Folded(added=[(upload.record_type, change)])


def after(engine: Engine, folded: Folded) -> None:
    """Tell which uploads ended, and bring to rest those that were cut short; call it after COMMIT.

    One that cannot be closed at once is left to the reconciler: a processor may hold a lane for a while, and others
    wait for their results here.
    """
    for ended in folded.ended:
        log.info("upload ended", upload_id=str(ended.upload_id), status=ended.status, seconds=ended.seconds)
        if not ended.cut_short:
            continue
        try:
            with engine.begin() as connection:
                closed = close(connection, ended.upload_id)
        except DATABASE_AWAY as error:
            log.info("upload not at rest yet", upload_id=str(ended.upload_id), reason=first_line(error))
        else:
            projection.count(closed or Folded())


def total_of(split: Split | None, known: int) -> int:
    """How many records a closed upload counts as having, where the ledger knows of `known`; pure.

    The file's records if it was read to its end, else those split so far; the splitter notes these now and then only,
    so the ledger may know of more.
    """
    if split is None:
        return known
    return max(split.records_split if split.records is None else split.records, known)


def _count_the_rest(connection: Connection, upload: Upload, *, total: int, rest: int) -> None:
    upload = uploads.set_total_records(connection, upload, total)
    upload = uploads.add_totals(connection, upload, Totals(unprocessed=rest))
    version = connection.execute(_RAISE_VERSION, {"upload_id": upload.id}).scalar_one()
    upload = replace(upload, version=version)
    audit_log.note(connection, upload, EVENT, records=total, never_worked=rest)
    completion.announce(connection, upload)
