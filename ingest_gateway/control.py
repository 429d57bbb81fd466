"""What may be asked of one upload while it runs or after it failed: pause, resume, cancel, retry.

The gateway only notes what is wanted (`upload_control`) and begins a new attempt; splitters, processors and auditor act
on it. The upload's row is locked while that is decided, as the auditor locks it to change its status: so a request that
was taken is acted on, and one that comes too late is told so. The same request again changes nothing.

Each function runs in the caller's transaction, which already acts for the organization.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from ingest_gateway import acts
from ingest_gateway.announcements import say_accepted
from ingest_gateway.doer import Doer
from rowstream.database.control import CHANNEL
from rowstream.database.tables import batch_uploads, dead_letters, upload_control
from rowstream.errors import Poison

_MOVING = ("pending", "processing", "paused")
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '5s'")


class Verb(Enum):
    """What may be asked."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an upload stands: its own state, and what was asked of it last."""

    status: str
    attempt: int = 1
    accepted: bool = True
    requested: str = "run"
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be noted: `requested` and `undo` of `upload_control`, and whether a new attempt begins."""

    requested: str
    undo: bool = False
    retry: bool = False


class NotNow(Poison):
    """The upload's state does not allow it; the message says why, and the way out."""

    def __init__(self, why: str, standing: Standing) -> None:
        super().__init__(why)
        self.standing = standing


class NoSuchUpload(Poison):
    """The organization has no such upload."""


def decide(verb: Verb, now: Standing, *, undo: bool = False) -> Order | None:
    """What is to be noted, or None if it is so already; pure.

    Raises:
        NotNow: the state does not allow it.
    """
    match verb:
        case Verb.RETRY:
            return _retry(now)
        case Verb.CANCEL:
            return _cancel(now, undo=undo)
        case Verb.PAUSE | Verb.RESUME:
            wanted = "pause" if verb is Verb.PAUSE else "run"
            _need_moving(verb, now)
            return None if now.requested == wanted else Order(requested=wanted)


def ask(connection: Connection, upload_id: UUID, verb: Verb, *, undo: bool = False, by: Doer) -> bool:
    """Note what is asked of an upload; False if it was so already. `by` is who asks.

    Raises:
        NoSuchUpload: the organization has no such upload.
        NotNow: its state does not allow it.
    """
    connection.execute(_LOCK_TIMEOUT)
    order = decide(verb, _standing(connection, upload_id), undo=undo)
    if order is None:
        return False
    _note(connection, upload_id, order, by.actor.name)
    acts.note(connection, by, f"upload.{verb.value}", upload_id=upload_id, details={"undo": True} if order.undo else {})
    if order.retry:
        _begin_again(connection, upload_id)
        if order.requested == "run":
            _note_redriven(connection, upload_id)
    connection.execute(text("SELECT pg_notify(:channel, :id)"), {"channel": CHANNEL, "id": str(upload_id)})
    return True


def _need_moving(verb: Verb, now: Standing) -> None:
    if now.status == "awaiting_upload":
        raise NotNow(f"cannot {verb.value} it: its file was not confirmed, so nothing runs yet", now)
    if now.status not in _MOVING:
        raise NotNow(f"cannot {verb.value} it: it is {_words(now.status)}, and nothing of it runs any more", now)
    if now.requested == "cancel":
        raise NotNow(f"cannot {verb.value} it: it is being cancelled", now)


def _cancel(now: Standing, *, undo: bool) -> Order | None:
    if now.status == "cancelled" or (now.requested == "cancel" and now.status not in ("completed", "failed")):
        return Order(requested="cancel", undo=True) if undo and not now.undo else None
    match now.status:
        case "awaiting_upload":
            raise NotNow("cannot cancel it: its file was not confirmed; leave it, it is given up by itself", now)
        case "failed" if now.accepted:
            # Rows can be taken out only once no attempt can load any more: the next one begins, and is cancelled.
            return Order(requested="cancel", undo=undo, retry=True)
        case "failed":
            return None  # its file was never accepted, so there is nothing of it
        case "completed":
            raise NotNow("cannot cancel it: it is completed, each of its records has its outcome", now)
    return Order(requested="cancel", undo=undo)


def _retry(now: Standing) -> Order | None:
    match now.status:
        case "failed" if now.accepted:
            return Order(requested="run", retry=True)
        case "failed":
            raise NotNow("cannot retry it: its file was never accepted; begin again with a new upload", now)
        case "cancelled":
            raise NotNow("cannot retry it: it was cancelled, which is final; hand the file in as a new upload", now)
    if now.attempt == 1 or now.requested == "cancel":
        raise NotNow(f"cannot retry it: only a failed upload is retried, and it is {_words(now.status)}", now)
    return None  # the attempt that was asked for is under way, or has come to its end


def _standing(connection: Connection, upload_id: UUID) -> Standing:
    uploads, control = batch_uploads.c, upload_control.c
    columns = uploads.status, uploads.attempt, uploads.accepted_at
    query = select(*columns).where(uploads.id == upload_id).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NoSuchUpload(f"there is no upload {upload_id}")
    last = connection.execute(
        select(control.requested, control.undo).where(control.batch_upload_id == upload_id)
    ).one_or_none()
    return Standing(
        status=row.status,
        attempt=row.attempt,
        accepted=row.accepted_at is not None,
        requested=last.requested if last else "run",
        undo=last.undo if last else False,
    )


def _note(connection: Connection, upload_id: UUID, order: Order, by: str) -> None:
    said = {
        "requested": order.requested,
        "undo": order.undo,
        "requested_by": by,
        "requested_at": func.clock_timestamp(),
    }
    owner = select(batch_uploads.c.organization_id).where(batch_uploads.c.id == upload_id).scalar_subquery()
    row = insert(upload_control).values(batch_upload_id=upload_id, organization_id=owner, **said)
    connection.execute(row.on_conflict_do_update(index_elements=[upload_control.c.batch_upload_id], set_=said))


def _begin_again(connection: Connection, upload_id: UUID) -> None:
    uploads = batch_uploads.c
    change = (
        update(batch_uploads)
        .where(uploads.id == upload_id, uploads.status == "failed")
        .values(
            status="pending",
            version=uploads.version + 1,
            attempt=uploads.attempt + 1,
            failure_code=None,
            failure_message=None,
            completed_at=None,
        )
        .returning(*uploads)
    )
    row: Row[Any] = connection.execute(change).one()
    say_accepted(connection, row)


def _note_redriven(connection: Connection, upload_id: UUID) -> None:
    letters = dead_letters.c
    connection.execute(
        update(dead_letters)
        .where(letters.batch_upload_id == upload_id, letters.redriven_at.is_(None))
        .values(redriven_at=func.clock_timestamp())
    )


def _words(status: str) -> str:
    return status.replace("_", " ")
