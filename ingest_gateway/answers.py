"""Answers kept for requests with an Idempotency-Key, so that the same request again is answered and not done again.

A row without a status stands for a request that runs. One that has run for too long was lost with its process, and the
next request with its key takes its place; whoever was only slow then finds its row gone, and leaves it alone.

Each function runs in the caller's transaction, which already acts for the organization.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from rowstream.database.access_tables import idempotency_keys
from rowstream.errors import Poison


class OtherContent(Poison):
    """The key was used before, for another request."""


class StillRunning(Poison):
    """The request that this key was used for first has no answer yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A request that runs under a key; `since` tells it from one that took its place."""

    organization_id: UUID
    actor: str
    key: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered: the HTTP status, those headers that belong to it, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def claim(
    connection: Connection, organization_id: UUID, actor: str, key: str, fingerprint: bytes, *, lost_after: int
) -> Claim | Answer:
    """Begin a request under a key, or have the answer that was given to it.

    Args:
        connection: acts for the organization.
        organization_id: whose request it is.
        actor: who asks; keys of two of them do not meet.
        key: the Idempotency-Key.
        fingerprint: tells another request from the same.
        lost_after: seconds after which a request without an answer counts as lost.

    Raises:
        OtherContent: the key belongs to another request.
        StillRunning: the first request has no answer yet.
    """
    columns = idempotency_keys.c
    row = insert_or_ignore(idempotency_keys).values(
        organization_id=organization_id, actor=actor, key=key, fingerprint=fingerprint
    )
    begun = connection.execute(row.on_conflict_do_nothing().returning(columns.created_at)).scalar_one_or_none()
    if begun is not None:
        return Claim(organization_id=organization_id, actor=actor, key=key, since=begun)
    age = text(":seconds * interval '1 second'").bindparams(seconds=lost_after)
    lost = (columns.created_at < func.clock_timestamp() - age).label("lost")
    this = _is(organization_id, actor, key)
    found = connection.execute(select(idempotency_keys, lost).where(this).with_for_update()).one_or_none()
    if found is None:  # its request has just failed and freed it
        raise StillRunning
    if found.fingerprint != fingerprint:
        raise OtherContent
    if found.status is not None:
        return Answer(status=found.status, headers=found.headers, body=found.body or b"")
    if not found.lost:
        raise StillRunning
    again = update(idempotency_keys).where(this).values(created_at=func.clock_timestamp()).returning(columns.created_at)
    since = connection.execute(again).scalar_one()
    return Claim(organization_id=organization_id, actor=actor, key=key, since=since)


def keep(connection: Connection, claimed: Claim, answer: Answer) -> None:
    """Keep the answer to a request, if it still has its key."""
    change = update(idempotency_keys).where(_still(claimed)).values(answered_at=func.clock_timestamp())
    connection.execute(change.values(status=answer.status, headers=dict(answer.headers), body=answer.body))


def free(connection: Connection, claimed: Claim) -> None:
    """Let the key be used again, as the request did nothing; if it still has it."""
    connection.execute(delete(idempotency_keys).where(_still(claimed)))


def forget(connection: Connection, *, after_seconds: int) -> int:
    """Forget the organization's keys that are older; returns how many."""
    age = text(":seconds * interval '1 second'").bindparams(seconds=after_seconds)
    old = delete(idempotency_keys).where(idempotency_keys.c.created_at < func.clock_timestamp() - age)
    return connection.execute(old).rowcount


def _is(organization_id: UUID, actor: str, key: str) -> ColumnElement[bool]:
    columns = idempotency_keys.c
    return and_(columns.organization_id == organization_id, columns.actor == actor, columns.key == key)


def _still(claimed: Claim) -> ColumnElement[bool]:
    columns = idempotency_keys.c
    same = _is(claimed.organization_id, claimed.actor, claimed.key)
    return and_(same, columns.created_at == claimed.since, columns.status.is_(None))
