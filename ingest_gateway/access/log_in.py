"""Logging in with a password, and changing it: the steps, most of which wait in other threads."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import Connection
from starlette import status
from starlette.concurrency import run_in_threadpool

from ingest_gateway.access import sessions
from ingest_gateway.access.attempts import Attempts
from ingest_gateway.access.limits import Limits
from ingest_gateway.access.oidc_provider import Provider
from ingest_gateway.access.passwords import Passwords
from ingest_gateway.access.sessions import Opened, Visit
from ingest_gateway.doer import Doer
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import Problem
from rowstream.database import users
from rowstream.database.sessions import Session
from rowstream.database.users import User, canonical_email
from rowstream.runtime.passwords import Unfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What logging in takes beside the gateway's adapters."""

    gateway: Gateway
    passwords: Passwords
    attempts: Attempts
    provider: Provider | None


def open_entrance(gateway: Gateway, limits: Limits) -> Entrance:
    """The entrance of a gateway, which counts tries in its limits."""
    access = gateway.settings.access
    return Entrance(
        gateway=gateway,
        passwords=Passwords(access.hashes_at_once),
        attempts=Attempts(limits, access),
        provider=Provider(gateway.settings.oidc) if gateway.settings.oidc.issuer else None,
    )


async def entrance_of(request: Request) -> Entrance:
    """The entrance of the gateway that serves this request."""
    entrance: Entrance = request.app.state.entrance
    return entrance


TheEntrance = Annotated[Entrance, Depends(entrance_of)]


async def by_password(entrance: Entrance, email: str, password: str, organization: str | None, visit: Visit) -> Opened:
    """Open a session for whoever knows the password of this account.

    It takes as long, and is refused in the same words, where there is no such account, where it has no password, and
    where it is disabled.

    Raises:
        Problem: 401, it is wrong; 403 and 409, as `sessions.enter`; 429, too many tries; 503, too many at once.
        Retryable: the database does not answer.
        NoSecrets: nothing signs tokens.
    """
    gateway = entrance.gateway
    gateway.secrets.current()
    account = canonical_email(email)
    await run_in_threadpool(entrance.attempts.begin, account, visit.address)
    user = await run_in_threadpool(_find, gateway, account)
    known = user.password_hash if user is not None and user.disabled_at is None else None
    verdict = await entrance.passwords.check(known, password)
    if user is None or not verdict.right:
        await run_in_threadpool(entrance.attempts.failed, visit.address)
        raise sessions.refused("password")
    await run_in_threadpool(entrance.attempts.succeeded, account, visit.address)

    def still(connection: Connection, now: User) -> bool:
        if now.password_hash != known:
            return False
        if verdict.better_hash is not None:
            users.set_password(connection, now.id, verdict.better_hash)
        return True

    return await run_in_threadpool(sessions.enter, gateway, user.id, organization, visit, by="password", still=still)


async def change_password(entrance: Entrance, doer: Doer, session: Session, current: str, new: str) -> None:
    """Give somebody who knows their password another one, and end their other sessions.

    Raises:
        Problem: 403, it is not their password; 409, it was changed meanwhile; 422, the new one cannot be one; 429, too
            many tries; 503, too many at once.
        Retryable: the database does not answer.
    """
    gateway = entrance.gateway
    user = await run_in_threadpool(_find_by_id, gateway, session.user_id)
    known = user.password_hash if user is not None else None
    account = user.email if user is not None else ""
    await run_in_threadpool(entrance.attempts.begin, account, doer.address)
    if not (await entrance.passwords.check(known, current)).right:
        await run_in_threadpool(entrance.attempts.failed, doer.address)
        raise Problem(status.HTTP_403_FORBIDDEN, "wrong_password", "the current password is not this one")
    await run_in_threadpool(entrance.attempts.succeeded, account, doer.address)
    try:
        new_hash = await entrance.passwords.hash(new, about=(user.email, user.name) if user is not None else ())
    except Unfit as error:
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "unfit_password", str(error)) from None
    changed = await run_in_threadpool(
        sessions.change_password, gateway, doer, session, old_hash=known, new_hash=new_hash
    )
    if not changed:
        detail = "the password was changed by somebody else at this moment; try again with the new one"
        raise Problem(status.HTTP_409_CONFLICT, "password_changed_meanwhile", detail)


def _find(gateway: Gateway, account: str) -> User | None:
    with gateway.reading_keys() as connection:
        return users.find(connection, account)


def _find_by_id(gateway: Gateway, user_id: UUID) -> User | None:
    with gateway.reading_keys() as connection:
        return users.find_by_id(connection, user_id)
