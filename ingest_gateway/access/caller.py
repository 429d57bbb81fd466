"""Who asks, for which organization, and what they may do; every operation states what it needs.

An operation takes its caller by one of the names below (`MayReadUploads`, ...). The need is in the API's description
too, as the scope of its security requirement, so that the tests of who may do what are made from the description.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette import status

from ingest_gateway.access import permissions
from ingest_gateway.access.limits import within_limits
from ingest_gateway.access.permissions import Permission
from ingest_gateway.doer import Actor, Doer
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem
from rowstream.database.connection import retryable_errors
from rowstream.database.keys import holder_of

_bearer = HTTPBearer(auto_error=False, scheme_name="API key", description="An API key, as `rowstream up` prints one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller(Doer):
    """A doer who made a request: what they may do in the organization, and the request's place in their own trace."""

    permissions: frozenset[Permission]
    traceparent: str


def caller_of(
    request: Request,
    gateway: TheGateway,
    needed: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """The caller, who may do all that is needed.

    Raises:
        Problem: 401, no key or one that is unknown, expired or revoked; 403, it may not do this; 429, it
            comes too often.
        Retryable: the database does not answer.
    """
    if credentials is None:
        raise _unauthorized("this needs an API key: send the header `Authorization: Bearer <key>`", "")
    caller = _by_key(request, gateway, credentials.credentials)
    within_limits(request, gateway, caller)
    missing = sorted(set(needed.scopes) - caller.permissions)
    if missing:
        raise _forbidden(caller, missing)
    return caller


def _by_key(request: Request, gateway: Gateway, key: str) -> Caller:
    with retryable_errors(), gateway.keys.connect() as connection:
        holder = holder_of(connection, key)
    if holder is None:
        advice = "the API key is unknown, expired or revoked; ask whoever runs rowstream for a new one"
        raise _unauthorized(advice, ', error="invalid_token"')
    return Caller(
        organization_id=holder.organization_id,
        actor=Actor(kind="key", id=holder.id, name=holder.name),
        permissions=permissions.of_scopes(holder.scopes),
        correlation_id=request.state.correlation_id,
        traceparent=request.state.traceparent,
        way=way_of(request.url.path),
        address=request.state.address,
    )


def way_of(path: str) -> str:
    """How a request came in: people work under /staff, systems elsewhere."""
    return "ui" if path.startswith("/staff/") else "api"


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
