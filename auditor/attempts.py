"""Begins the next attempt at an upload: what the attempt before left over no longer counts.

An upload that was cut short was closed with all that it did not come to as unprocessed. When it is retried, its totals
are again what the outcomes of its chunks add up to, and how many records there are is told anew by its splitter.
Whoever folds or closes locks the upload through here, so that this comes first whatever is heard of first.
"""

from uuid import UUID

from sqlalchemy import Connection

from auditor import audit_log, uploads
from auditor.totals import effective
from auditor.uploads import Upload

EVENT = "upload_retried"


def lock(connection: Connection, upload_id: UUID) -> Upload | None:
    """The upload, locked until the transaction ends, its present attempt begun; None if there is no such upload.

    Several must be locked in the order of their ids.
    """
    upload = uploads.lock(connection, upload_id)
    if upload is None or upload.attempt == 1 or audit_log.has(connection, upload, EVENT):
        return upload
    return _begin(connection, upload)


def _begin(connection: Connection, upload: Upload) -> Upload:
    change = effective(audit_log.outcomes(connection, upload.id)) - upload.totals
    upload = uploads.add_totals(connection, upload, change)
    upload = uploads.set_total_records(connection, upload, None)
    audit_log.note(connection, upload, EVENT, unprocessed=upload.totals.unprocessed)
    return upload
