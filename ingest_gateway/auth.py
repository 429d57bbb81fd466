"""Who asks: the holder of the API key in `Authorization: Bearer ...`, and the organization that the key is for."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette import status

from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import Problem
from rowstream.database.connection import retryable_errors
from rowstream.database.keys import holder_of

_bearer = HTTPBearer(auto_error=False, scheme_name="API key", description="An API key, as `rowstream up` prints one.")


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a valid key, and the request's place in the caller's own trace."""

    organization_id: UUID
    name: str
    correlation_id: str
    traceparent: str


def caller_of(
    request: Request,
    gateway: TheGateway,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """The caller.

    Raises:
        Problem: 401, no key or one that is unknown, expired or revoked.
        Retryable: the database does not answer.
    """
    if credentials is None:
        raise _unauthorized("this needs an API key: send the header `Authorization: Bearer <key>`", "")
    with retryable_errors(), gateway.keys.connect() as connection:
        holder = holder_of(connection, credentials.credentials)
    if holder is None:
        advice = "the API key is unknown, expired or revoked; ask whoever runs rowstream for a new one"
        raise _unauthorized(advice, ', error="invalid_token"')
    return Caller(*holder, request.state.correlation_id, request.state.traceparent)


TheCaller = Annotated[Caller, Depends(caller_of)]


def _unauthorized(detail: str, error: str) -> Problem:
    headers = {"WWW-Authenticate": f'Bearer realm="rowstream"{error}'}
    return Problem(status.HTTP_401_UNAUTHORIZED, "unauthorized", detail, headers=headers)
