"""Logging in and out over HTTP: with a password, on with a refresh token, out here or everywhere."""

from fastapi import APIRouter, Request
from starlette import status
from starlette.concurrency import run_in_threadpool

from ingest_gateway.access import log_in, sessions
from ingest_gateway.access.caller import Person
from ingest_gateway.access.log_in import TheEntrance
from ingest_gateway.access.sessions import Opened, Visit
from ingest_gateway.api.session_models import (
    LogInRequest,
    PasswordChange,
    RefreshRequest,
    SessionOrganization,
    SessionTokens,
    SessionUser,
    VerificationKeys,
)
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import responses

router = APIRouter(tags=["log in"])

_BODY = (400, 413, 422)


@router.post(
    "/auth/login",
    responses=responses(401, 403, 409, 429, 503, *_BODY),
    summary="Log in with a password",
)
async def post_log_in(wanted: LogInRequest, request: Request, entrance: TheEntrance) -> SessionTokens:
    """Open a session for one organization.

    Whether it was the e-mail address or the password that is wrong is not said. Somebody who is in several
    organizations and names none gets them listed, once the password was right.
    """
    visit = visit_of(request)
    opened = await log_in.by_password(entrance, wanted.email, wanted.password, wanted.organization, visit)
    return shown(opened)


@router.post("/auth/refresh", responses=responses(401, 429, 503, *_BODY), summary="Go on with a session")
def post_refresh(wanted: RefreshRequest, request: Request, gateway: TheGateway) -> SessionTokens:
    """Give the next pair of tokens for a refresh token, which is then used up.

    One that comes twice was stolen, or its answer was lost: the session ends, whoever of the two it was.
    """
    return shown(sessions.refresh(gateway, wanted.refresh_token, visit_of(request)))


@router.post(
    "/auth/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(429, 503, *_BODY),
    summary="End a session",
)
def post_log_out(wanted: RefreshRequest, request: Request, gateway: TheGateway) -> None:
    """End the session of this refresh token, with its access tokens. A token that is none (any more) is no error."""
    sessions.leave(gateway, wanted.refresh_token, visit_of(request))


@router.post(
    "/auth/logout_everywhere",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(401, 403, 429, 503),
    summary="End all of one's sessions",
)
def post_log_out_everywhere(caller: Person, gateway: TheGateway) -> None:
    """End every session of yours, in all organizations, and at once every access token that you have."""
    sessions.leave_everywhere(gateway, caller, caller.session)


@router.post(
    "/auth/password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(401, 403, 409, 429, 503, *_BODY),
    summary="Change one's password",
)
async def post_password(wanted: PasswordChange, caller: Person, entrance: TheEntrance) -> None:
    """Take another password. Your other sessions end, this one goes on."""
    await log_in.change_password(entrance, caller, caller.session, wanted.current_password, wanted.new_password)


@router.get("/.well-known/jwks.json", responses=responses(429, 503), summary="The keys of access tokens")
async def get_keys(gateway: TheGateway) -> VerificationKeys:
    """The public keys that access tokens are verified with, as a JWK set."""
    secrets = await run_in_threadpool(gateway.secrets.current)
    return VerificationKeys.model_validate(secrets.public())


def visit_of(request: Request) -> Visit:
    """A request before anybody knows whose it is."""
    return Visit(address=request.state.address, way="ui", correlation_id=request.state.correlation_id)


def shown(opened: Opened) -> SessionTokens:
    """A session as its owner gets it."""
    granted, standing = opened.granted, opened.standing
    return SessionTokens(
        access_token=opened.access_token,
        token_type="Bearer",  # noqa: S106 - no password, the kind of token
        expires_in=opened.expires_in,
        refresh_token=granted.token,
        refresh_expires_in=int((granted.expires_at - granted.at).total_seconds()),
        session_id=granted.session.id,
        user=SessionUser(id=granted.session.user_id, email=standing.email, name=standing.name),
        organization=SessionOrganization(id=granted.session.organization_id, name=standing.organization),
        role=standing.role,
    )
