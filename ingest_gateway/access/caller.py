"""Who asks, for which organization, and what they may do; every operation states what it needs.

An operation takes its caller by one of the names below (`MayReadUploads`, ...). The need is in the API's description
too, as the scope of its security requirement, so that the tests of who may do what are made from the description.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette import status

from ingest_gateway.access import permissions, signatures, tokens
from ingest_gateway.access.limits import within_limits
from ingest_gateway.access.permissions import Permission, Role
from ingest_gateway.access.sessions import standing_of
from ingest_gateway.doer import Actor, Doer
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem
from rowstream.database.keys import PREFIX, Holder, holder_of
from rowstream.database.sessions import Session
from rowstream.runtime.logging import get_logger
from rowstream.runtime.secrets import NoSecrets

log = get_logger(__name__)

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="An API key (`rs_...`), or the access token of a person who has logged in.",
)
_signature = APIKeyHeader(
    auto_error=False,
    scheme_name="signature",
    name="Signature",
    description="HTTP Message Signatures (RFC 9421) with hmac-sha256, made with a key that only signs.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller(Doer):
    """A doer who made a request.

    Attributes:
        permissions: What they may do in the organization.
        ends_at: When that ends by itself, for a key with an end; None for people and other keys.
        traceparent: The request's place in their own trace.
    """

    permissions: frozenset[Permission]
    ends_at: datetime | None
    traceparent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonCaller(Caller):
    """A caller who is a person, in one of their sessions."""

    session: Session


def caller_of(
    request: Request,
    gateway: TheGateway,
    needed: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _: Annotated[str | None, Depends(_signature)] = None,
) -> Caller:
    """The caller, who may do all that is needed.

    Raises:
        Problem: 401, no key or token, or one that is unknown, expired or revoked; 403, it may not do this; 429, it
            comes too often.
        Retryable: the database does not answer.
    """
    caller = _asking(request, gateway, credentials)
    within_limits(request, gateway, caller)
    missing = sorted(set(needed.scopes) - caller.permissions)
    if missing:
        raise _forbidden(caller, missing)
    request.state.caller = caller
    return caller


def person_of(caller: Annotated[Caller, Security(caller_of)]) -> PersonCaller:
    """The caller, who is a person.

    Raises:
        Problem: 403, it is a key.
    """
    if not isinstance(caller, PersonCaller):
        detail = f"{caller.actor.name!r} is a key, and this is for people; log in, and send the access token"
        raise Problem(status.HTTP_403_FORBIDDEN, "for_people_only", detail)
    return caller


def _asking(request: Request, gateway: Gateway, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    """Whoever the request says it is from, by each of the ways to say so."""
    if signatures.is_signed(request.headers):
        if "authorization" in request.headers:
            raise _unauthorized("the request is signed and has an Authorization header; send one of the two", "")
        return _by_signature(request, gateway)
    if credentials is None:
        advice = "this needs an API key or an access token: send the header `Authorization: Bearer <key or token>`"
        raise _unauthorized(advice, "")
    if credentials.credentials.startswith(PREFIX):
        return _by_key(request, gateway, credentials.credentials)
    return _by_access_token(request, gateway, credentials.credentials)


def _by_access_token(request: Request, gateway: Gateway, token: str) -> PersonCaller:
    try:
        claims = tokens.verify(token, gateway.secrets.current(), gateway.settings.access, time.time())
    except (tokens.NotValid, NoSecrets) as error:
        log.info("access token refused", reason=str(error))
        standing = None
    else:
        standing = standing_of(gateway, claims.session, claims.issued_at)
    if standing is None:
        advice = "it is no API key, and no access token that is valid (any more); refresh it, or log in again"
        raise _unauthorized(advice, ', error="invalid_token"')
    return PersonCaller(
        organization_id=claims.session.organization_id,
        actor=Actor(kind="user", id=claims.session.user_id, name=standing.email),
        permissions=permissions.of_role(Role(standing.role)),
        ends_at=None,
        correlation_id=request.state.correlation_id,
        traceparent=request.state.traceparent,
        way=way_of(request.url.path),
        address=request.state.address,
        session=claims.session,
    )


def _by_key(request: Request, gateway: Gateway, key: str) -> Caller:
    with gateway.reading_keys() as connection:
        holder = holder_of(connection, key)
    if holder is None:
        advice = (
            "the API key is unknown, expired or revoked, or its organization is closed; ask whoever runs rowstream for"
            " a new one (`rowstream key create`), or to open it again (`rowstream org set NAME --reopen`)"
        )
        raise _unauthorized(advice, ', error="invalid_token"')
    return _with_key(request, gateway, holder)


def _by_signature(request: Request, gateway: Gateway) -> Caller:
    try:
        return _with_key(request, gateway, signatures.holder_of(request, gateway))
    except signatures.Refused as error:
        raise _unauthorized(str(error), "") from error


def _with_key(request: Request, gateway: Gateway, holder: Holder) -> Caller:
    gateway.uses.note(holder.id, request.state.address)
    return Caller(
        organization_id=holder.organization_id,
        actor=Actor(kind="key", id=holder.id, name=holder.name),
        permissions=permissions.of_scopes(holder.scopes),
        ends_at=holder.expires_at,
        correlation_id=request.state.correlation_id,
        traceparent=request.state.traceparent,
        way=way_of(request.url.path),
        address=request.state.address,
    )


def way_of(path: str) -> str:
    """How a request came in: people work under /staff, systems elsewhere."""
    return "ui" if path.startswith("/staff/") else "api"


Person = Annotated[PersonCaller, Security(person_of)]
MayReadUploads = Annotated[Caller, Security(caller_of, scopes=[Permission.UPLOADS_READ])]
MayWriteUploads = Annotated[Caller, Security(caller_of, scopes=[Permission.UPLOADS_WRITE])]
MayControlUploads = Annotated[Caller, Security(caller_of, scopes=[Permission.UPLOADS_CONTROL])]
MayReadErrors = Annotated[Caller, Security(caller_of, scopes=[Permission.ERRORS_READ])]
MayReadActs = Annotated[Caller, Security(caller_of, scopes=[Permission.ACTS_READ])]
MayReadMembers = Annotated[Caller, Security(caller_of, scopes=[Permission.MEMBERS_READ])]
MayManageMembers = Annotated[Caller, Security(caller_of, scopes=[Permission.MEMBERS_MANAGE])]
MayReadKeys = Annotated[Caller, Security(caller_of, scopes=[Permission.KEYS_READ])]
MayManageKeys = Annotated[Caller, Security(caller_of, scopes=[Permission.KEYS_MANAGE])]
MayReadOrganization = Annotated[Caller, Security(caller_of, scopes=[Permission.ORGANIZATION_READ])]
MayManageOrganization = Annotated[Caller, Security(caller_of, scopes=[Permission.ORGANIZATION_MANAGE])]


def _unauthorized(detail: str, error: str) -> Problem:
    headers = {"WWW-Authenticate": f'Bearer realm="rowstream"{error}'}
    return Problem(status.HTTP_401_UNAUTHORIZED, "unauthorized", detail, headers=headers)


def _forbidden(caller: Caller, missing: list[str]) -> Problem:
    needs = " and ".join(missing)
    headers = {"WWW-Authenticate": f'Bearer realm="rowstream", error="insufficient_scope", scope="{" ".join(missing)}"'}
    detail = f"{caller.actor.name!r} may not do this: it takes {needs}; ask an administrator of your organization"
    return Problem(status.HTTP_403_FORBIDDEN, "forbidden", detail, headers=headers, missing=missing)
