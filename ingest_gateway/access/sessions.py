"""How somebody who has shown who they are gets a session, how it goes on, and how it ends.

Each function is one transaction of the role that finds out who asks, with its act in the trail. Who is refused learns
only after the transaction: what it wrote (a session that was ended since a token came twice) must stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection
from starlette import status

from ingest_gateway import acts
from ingest_gateway.access import tokens
from ingest_gateway.doer import Actor, Doer
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import Problem
from rowstream.database import sessions, users
from rowstream.database.connection import retryable_errors
from rowstream.database.sessions import Granted, Lifetimes, Refusal, Refused, Session, Standing
from rowstream.database.users import Membership, User
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import LOG_INS

log = get_logger(__name__)

ASK = {"WWW-Authenticate": 'Bearer realm="rowstream"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that is nobody's yet: from where, by which way, and its name in the logs."""

    address: str | None
    way: str
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Opened:
    """A session with its two tokens, as its owner gets it."""

    granted: Granted
    access_token: str
    expires_in: int
    standing: Standing


def enter(
    gateway: Gateway,
    user_id: UUID,
    organization: str | None,
    visit: Visit,
    *,
    by: str,
    still: Callable[[Connection, User], bool],
) -> Opened:
    """Open a session for somebody who has just shown who they are.

    Args:
        gateway: the adapters.
        user_id: who.
        organization: for which, by id or name; None for somebody who has only one. Who is let in accepts it.
        visit: the request.
        by: how they showed it: `password` or `provider`.
        still: whether what they showed holds now that their row is locked.

    Raises:
        Problem: 401, they may not come in any more; 403 and 409, not into this organization, or it has to be named.
        Retryable: the database does not answer.
        NoSecrets: nothing signs tokens.
    """
    gateway.secrets.current()
    with retryable_errors(), gateway.keys.begin() as connection:
        sessions.lock(connection, user_id)
        user = users.find_by_id(connection, user_id)
        if user is None or user.disabled_at is not None or not still(connection, user):
            raise refused(by)
        member = choose(users.memberships_of(connection, user_id), organization)
        if not member.accepted:
            users.accept(connection, member.organization_id, user_id)
        granted = sessions.open_session(
            connection, user_id, member.organization_id, lifetimes(gateway), address=visit.address
        )
        session = granted.session
        acts.note(connection, _doer(session, user, visit), "session.opened", target=str(session.id), details={"by": by})
    LOG_INS.labels(by, "opened").inc()
    standing = Standing(email=user.email, name=user.name, role=member.role, organization=member.organization)
    return _opened(gateway, granted, standing)


def choose(memberships: Sequence[Membership], wanted: str | None) -> Membership:
    """The organization that a session is to be for; pure.

    One that somebody has only been invited to counts where it is named, or where there is no other: whoever invites
    them changes nothing about how they log in.

    Raises:
        Problem: 403 and 409, which it is cannot be said; lists those that there are.
    """
    listed = [{"id": str(one.organization_id), "name": one.organization, "role": one.role} for one in memberships]
    if not memberships:
        detail = "you are in no organization; ask an administrator of yours to make you a member"
        raise Problem(status.HTTP_403_FORBIDDEN, "no_membership", detail, organizations=listed)
    if wanted is None:
        counted = [one for one in memberships if one.accepted] or memberships
        if len(counted) == 1:
            return counted[0]
        detail = "you are in several organizations; name the one to log in to, by its id or name, as `organization`"
        raise Problem(status.HTTP_409_CONFLICT, "organization_not_named", detail, organizations=listed)
    for one in memberships:
        if wanted in {str(one.organization_id), one.organization}:
            return one
    detail = "you are not in this organization; name one of `organizations`, by its id or name"
    raise Problem(status.HTTP_403_FORBIDDEN, "no_membership", detail, organizations=listed)


def refresh(gateway: Gateway, token: str, visit: Visit) -> Opened:
    """The next pair of tokens of a session.

    Raises:
        Problem: 401, the token is unknown, over, or was used before, which ends its session.
        Retryable: the database does not answer.
        NoSecrets: nothing signs tokens.
    """
    gateway.secrets.current()
    with retryable_errors(), gateway.keys.begin() as connection:
        found = sessions.refresh(connection, token, lifetimes(gateway), address=visit.address)
        if isinstance(found, Granted):
            standing = sessions.standing(connection, found.session, issued_at=found.at)
        elif found.why == Refusal.REUSED and found.session is not None:
            _note(connection, found.session, visit, "session.reuse_detected")
    if isinstance(found, Refused) or standing is None:
        why = found.why if isinstance(found, Refused) else Refusal.ENDED
        LOG_INS.labels("refresh", why).inc()
        if why == Refusal.REUSED:
            log.warning("a refresh token was used twice, its session is ended")
        detail = "the refresh token is unknown, was used before, or its session has ended; log in again"
        raise Problem(status.HTTP_401_UNAUTHORIZED, "invalid_refresh_token", detail, headers=ASK)
    LOG_INS.labels("refresh", "opened").inc()
    return _opened(gateway, found, standing)


def leave(gateway: Gateway, token: str, visit: Visit) -> None:
    """End the session of a refresh token, if it is one.

    Raises:
        Retryable: the database does not answer.
    """
    with retryable_errors(), gateway.keys.begin() as connection:
        session = sessions.session_of(connection, token)
        if session is not None and sessions.end(connection, session):
            _note(connection, session, visit, "session.closed")


def leave_everywhere(gateway: Gateway, doer: Doer, session: Session) -> None:
    """End every session of somebody, in all organizations, and whatever token was made for them until now.

    Raises:
        Retryable: the database does not answer.
    """
    with retryable_errors(), gateway.keys.begin() as connection:
        ended = sessions.end_all(connection, session.user_id)
        acts.note(connection, doer, "sessions.closed", target=str(session.user_id), details={"sessions": ended})


def change_password(gateway: Gateway, doer: Doer, session: Session, *, old_hash: str | None, new_hash: str) -> bool:
    """Give somebody another password, and end their other sessions; False if it was changed meanwhile.

    Raises:
        Retryable: the database does not answer.
    """
    with retryable_errors(), gateway.keys.begin() as connection:
        sessions.lock(connection, session.user_id)
        user = users.find_by_id(connection, session.user_id)
        if user is None or user.password_hash != old_hash:
            return False
        users.set_password(connection, user.id, new_hash)
        ended = sessions.end_all(connection, user.id, but=session.id)
        acts.note(connection, doer, "password.changed", target=str(user.id), details={"sessions_ended": ended})
    return True


def standing_of(gateway: Gateway, session: Session, issued_at: datetime) -> Standing | None:
    """What the person of an access token is now; None if it is good for nothing any more.

    Raises:
        Retryable: the database does not answer.
    """
    with gateway.reading_keys() as connection:
        return sessions.standing(connection, session, issued_at=issued_at)


def lifetimes(gateway: Gateway) -> Lifetimes:
    """How long sessions last here."""
    access = gateway.settings.access
    return Lifetimes(idle=access.session_idle_seconds, whole=access.session_seconds)


def refused(by: str) -> Problem:
    """401 for a log-in: the same whoever it was, so that nobody learns who has an account."""
    LOG_INS.labels(by, "refused").inc()
    if by == "password":
        detail = "the e-mail address or the password is wrong"
        return Problem(status.HTTP_401_UNAUTHORIZED, "wrong_credentials", detail, headers=ASK)
    detail = "the provider knows you, but nobody has invited you here; ask an administrator of your organization"
    return Problem(status.HTTP_401_UNAUTHORIZED, "not_invited", detail, headers=ASK)


def _opened(gateway: Gateway, granted: Granted, standing: Standing) -> Opened:
    access = gateway.settings.access
    token = tokens.issue(gateway.secrets.current(), access, granted.session, granted.at)
    return Opened(granted=granted, access_token=token, expires_in=access.access_token_seconds, standing=standing)


def _note(connection: Connection, session: Session, visit: Visit, action: str) -> None:
    user = users.find_by_id(connection, session.user_id)
    if user is not None:
        acts.note(connection, _doer(session, user, visit), action, target=str(session.id))


def _doer(session: Session, user: User, visit: Visit) -> Doer:
    return Doer(
        organization_id=session.organization_id,
        actor=Actor(kind="user", id=user.id, name=user.email),
        way=visit.way,
        address=visit.address,
        correlation_id=visit.correlation_id,
    )
