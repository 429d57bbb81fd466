"""Sessions of people: families of refresh tokens, each used once, all that came from one log-in.

A token is 256 random bits and stored as its SHA-256. Whoever changes a session locks its user's row first, so that two
uses of one token, or a use and the end of all sessions, come one after the other.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, text, update

from rowstream.database.access_tables import memberships, organizations, refresh_tokens, users
from rowstream.ids import new_id

PREFIX = "rsr_"
_TOKENS = refresh_tokens.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Seconds until a session ends: not refreshed for `idle`, and in any case after `whole`."""

    idle: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Whose session it is, and for which organization."""

    id: UUID
    user_id: UUID
    organization_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Granted:
    """A refresh token that was just made: shown once and stored nowhere; the times are the database's."""

    session: Session
    token: str
    at: datetime
    expires_at: datetime


class Refusal(StrEnum):
    """Why a refresh token is refused."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refresh token that is good for nothing; `session` is its own, if it was one."""

    why: Refusal
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a person is at this moment, in the organization that their session is for."""

    email: str
    name: str
    role: str
    organization: str


def lock(connection: Connection, user_id: UUID) -> None:
    """Let nobody else change this user's sessions until the transaction ends."""
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))


def open_session(
    connection: Connection, user_id: UUID, organization_id: UUID, lifetimes: Lifetimes, *, address: str | None
) -> Granted:
    """Begin a session, with its first refresh token."""
    lock(connection, user_id)
    session = Session(id=new_id(), user_id=user_id, organization_id=organization_id)
    return _grant(connection, session, lifetimes, address=address)


def refresh(connection: Connection, token: str, lifetimes: Lifetimes, *, address: str | None) -> Granted | Refused:
    """Use a refresh token, which gives the next one. One that was used before ends its whole session.

    The caller has to commit in either case.
    """
    found = _find(connection, token)
    if found is None:
        return Refused(why=Refusal.UNKNOWN)
    lock(connection, found.user_id)
    row = _find(connection, token)
    if row is None:
        return Refused(why=Refusal.UNKNOWN)
    session = Session(id=row.family_id, user_id=row.user_id, organization_id=row.organization_id)
    if row.revoked_at is not None:
        return Refused(why=Refusal.ENDED, session=session)
    if row.used_at is not None:  # also where its own time is over: its successors may live
        end(connection, session)
        return Refused(why=Refusal.REUSED, session=session)
    if not row.is_young or standing(connection, session, issued_at=row.created_at) is None:
        return Refused(why=Refusal.ENDED, session=session)
    connection.execute(update(refresh_tokens).where(_TOKENS.id == row.id).values(used_at=func.clock_timestamp()))
    return _grant(connection, session, lifetimes, address=address)


def standing(connection: Connection, session: Session, *, issued_at: datetime) -> Standing | None:
    """What the person of a session is now.

    Args:
        connection: as the role that finds out who asks.
        session: as a token of it says.
        issued_at: when that token was made, by the database's clock.

    Returns:
        None for a session that was ended, of a user who is disabled or no member (any more), for an organization that
        is closed.
    """
    ended = select(_TOKENS.id).where(_TOKENS.family_id == session.id, _TOKENS.revoked_at.is_not(None)).exists()
    query = (
        select(users.c.email, users.c.name, memberships.c.role, organizations.c.name.label("organization"))
        .join_from(users, memberships)
        .join(organizations)
        .where(
            users.c.id == session.user_id,
            users.c.disabled_at.is_(None),
            or_(users.c.sessions_valid_from.is_(None), users.c.sessions_valid_from <= issued_at),
            memberships.c.organization_id == session.organization_id,
            organizations.c.closed_at.is_(None),
            ~ended,
        )
    )
    row = connection.execute(query).mappings().one_or_none()
    return Standing(**row) if row is not None else None


def session_of(connection: Connection, token: str) -> Session | None:
    """The session that a refresh token belongs to, whatever became of it."""
    row = _find(connection, token)
    if row is None:
        return None
    return Session(id=row.family_id, user_id=row.user_id, organization_id=row.organization_id)


def end(connection: Connection, session: Session) -> bool:
    """End one session, with all its tokens of both kinds; False if it was ended before."""
    lock(connection, session.user_id)
    return _revoke(connection, _TOKENS.family_id == session.id) > 0


def end_all(connection: Connection, user_id: UUID, *, but: UUID | None = None) -> int:
    """End every session of a user, or all but one; returns how many there were.

    Without `but`, also whatever was made before this moment and is in nobody's books is refused from now on.
    """
    lock(connection, user_id)
    mine = _TOKENS.user_id == user_id
    others = mine if but is None else mine & (_TOKENS.family_id != but)
    alive = select(func.count(_TOKENS.family_id.distinct())).where(
        others, _TOKENS.revoked_at.is_(None), _TOKENS.expires_at > func.clock_timestamp()
    )
    ended = connection.execute(alive).scalar_one()
    _revoke(connection, others)
    if but is None:
        now = func.clock_timestamp()
        connection.execute(update(users).where(users.c.id == user_id).values(sessions_valid_from=now))
    return ended


def sweep(connection: Connection, *, after_seconds: int = 3_600) -> int:
    """Forget sessions that ended by themselves so long ago; returns how many tokens went.

    A session goes as a whole: while one token of it lives, the use of an older one has to be noticed.
    """
    past = func.clock_timestamp() - text(":seconds * interval '1 second'").bindparams(seconds=after_seconds)
    later = refresh_tokens.alias("later")
    alive = select(later.c.id).where(later.c.family_id == _TOKENS.family_id, later.c.expires_at >= past).exists()
    return connection.execute(delete(refresh_tokens).where(_TOKENS.expires_at < past, ~alive)).rowcount


def _find(connection: Connection, token: str) -> Row[Any] | None:
    is_young = (_TOKENS.expires_at > func.clock_timestamp()).label("is_young")
    query = select(refresh_tokens, is_young).where(_TOKENS.token_hash == _hash(token))
    return connection.execute(query).one_or_none()


def _grant(connection: Connection, session: Session, lifetimes: Lifetimes, *, address: str | None) -> Granted:
    token = PREFIX + secrets.token_urlsafe(32)
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    began = select(func.min(_TOKENS.created_at)).where(_TOKENS.family_id == session.id).scalar_subquery()
    row = insert(refresh_tokens).values(
        id=new_id(),
        family_id=session.id,
        user_id=session.user_id,
        organization_id=session.organization_id,
        token_hash=_hash(token),
        created_at=now,
        created_from=address,
        expires_at=func.least(
            now + timedelta(seconds=lifetimes.idle), func.coalesce(began, now) + timedelta(seconds=lifetimes.whole)
        ),
    )
    expires_at = connection.execute(row.returning(_TOKENS.expires_at)).scalar_one()
    return Granted(session=session, token=token, at=now, expires_at=expires_at)


def _revoke(connection: Connection, which: Any) -> int:
    change = update(refresh_tokens).where(which, _TOKENS.revoked_at.is_(None))
    return connection.execute(change.values(revoked_at=func.clock_timestamp())).rowcount


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
