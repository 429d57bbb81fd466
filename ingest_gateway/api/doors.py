"""The last steps of every way in over HTTP: an upload whose file is there is accepted, or refused since it is no text.

Each function talks to the database and the object store, and may take as long as they do.
"""

from uuid import UUID

from starlette import status

from ingest_gateway import accept, waiting
from ingest_gateway.doer import Doer
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import Problem
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import REFUSED, UPLOADS_SENT
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo

log = get_logger(__name__)


def take(
    gateway: Gateway, caller: Doer, place: accept.Place, found: ObjectInfo, *, how: str, reason: str | None = None
) -> bool:
    """Accept the upload whose file was found at its place; False if it did not wait for it any more.

    Args:
        gateway: the adapters.
        caller: who says that the file is there.
        place: where.
        found: what the store says of it.
        how: it was sent, for the metrics.
        reason: why it is no text, if it is none.

    Raises:
        Problem: 422, it is no text; the upload has failed, and nothing is kept of the file.
        Retryable: the database does not answer.
    """
    if reason:
        refuse(gateway, caller, place, reason)
    with gateway.acting_for(caller.organization_id) as connection:
        new = accept.confirm(connection, caller, place.upload_id, found, key=place.key)
        now = None if new else accept.place_of(connection, place.upload_id)
    if new:
        reached(Step.UPLOAD_ACCEPTED)
        UPLOADS_SENT.labels(how).inc()
    elif now and not (now.accepted and now.key == place.key):  # it was given up meanwhile, or has another file
        _remove_alone(gateway, place)
    return new


def refuse(gateway: Gateway, caller: Doer, place: accept.Place, reason: str) -> None:
    """End an upload whose file is no text.

    Raises:
        Problem: 422, always; says what the file looks like, and the way out.
    """
    with gateway.acting_for(caller.organization_id) as connection:
        ended = waiting.refuse(connection, caller, place.upload_id, reason)
        left = waiting.left_by(connection, place.upload_id) if ended else None
    if left:
        remove(gateway, left)
    raise no_text(reason)


def drop(gateway: Gateway, caller: Doer, upload_id: UUID) -> bool:
    """End an upload that still waits for its file, as the caller wishes; False if it does not wait (any more).

    Nothing is kept of what came of the file.

    Raises:
        Retryable: the database does not answer.
    """
    with gateway.acting_for(caller.organization_id) as connection:
        ended = waiting.drop(connection, caller, upload_id)
        left = waiting.left_by(connection, upload_id) if ended else None
    if left:
        remove(gateway, left)
    return ended


def no_text(reason: str) -> Problem:
    """422: the file is no text."""
    REFUSED.labels("not_a_table_of_text").inc()
    return Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "not_a_table_of_text", reason)


def _remove_alone(gateway: Gateway, place: accept.Place) -> None:
    """Remove the object at a place, and nothing else that the upload has: that may be what was accepted."""
    try:
        gateway.store.delete(place.bucket, place.key)
    except Retryable as error:
        log.warning("what an upload left in the object store is not removed", reason=str(error))


def remove(gateway: Gateway, left: waiting.LeftBehind) -> None:
    """Remove what an upload that was not accepted left in the store; one that is away keeps it, and the log says so."""
    try:
        waiting.remove(gateway.store, left)
    except Retryable as error:
        log.warning("what an upload left in the object store is not removed", reason=str(error))
