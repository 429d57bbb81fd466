"""Logging in with an OpenID Connect provider over HTTP: to the provider, and back from it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette import status

from ingest_gateway.access import log_in_by_provider, oidc
from ingest_gateway.access.log_in import Entrance, TheEntrance
from ingest_gateway.access.log_in_by_provider import Returned
from ingest_gateway.api.session_models import OrganizationName, SessionTokens
from ingest_gateway.api.sessions import shown, visit_of
from ingest_gateway.problems import responses

router = APIRouter(prefix="/auth/oidc", tags=["log in"])

_LONGEST = 4_096


@router.get(
    "/start",
    status_code=status.HTTP_303_SEE_OTHER,
    response_class=RedirectResponse,
    responses=responses(404, 422, 429, 503),
    summary="Log in with the provider",
)
async def get_start(
    entrance: TheEntrance,
    organization: Annotated[
        OrganizationName | None, Query(description="Which one to log in to; not given: the only one")
    ] = None,
) -> RedirectResponse:
    """Send the browser to the provider, with a cookie for the way back."""
    where, cookie = await log_in_by_provider.start(entrance, organization)
    answer = RedirectResponse(where, status.HTTP_303_SEE_OTHER)
    secure = _is_secure(entrance)
    answer.set_cookie(
        _cookie(entrance), cookie, max_age=60 * oidc.MINUTES_TO_COME_BACK, httponly=True, secure=secure, samesite="lax"
    )
    return answer


@router.get("/callback", responses=responses(401, 403, 404, 409, 422, 429, 503), summary="Come back from the provider")
async def get_callback(
    request: Request,
    response: Response,
    entrance: TheEntrance,
    code: Annotated[str | None, Query(max_length=_LONGEST, description="What the provider gives")] = None,
    state: Annotated[str | None, Query(max_length=_LONGEST, description="What it was given")] = None,
    iss: Annotated[str | None, Query(max_length=_LONGEST, description="Which provider it is (RFC 9207)")] = None,
) -> SessionTokens:
    """Open a session for somebody whom the provider vouches for: with a verified e-mail address, and invited here."""
    cookie = request.cookies.get(_cookie(entrance))
    returned = Returned(code=code, state=state, issuer=iss, cookie=cookie)
    opened = await log_in_by_provider.finish(entrance, returned, visit_of(request))
    response.delete_cookie(_cookie(entrance), httponly=True, secure=_is_secure(entrance), samesite="lax")
    return shown(opened)


def _is_secure(entrance: Entrance) -> bool:
    return (entrance.gateway.settings.oidc.redirect_url or "").startswith("https:")


def _cookie(entrance: Entrance) -> str:
    """A name with which browsers take it only by https, from this host; on this machine alone there is no https."""
    return "__Host-rowstream-log-in" if _is_secure(entrance) else "rowstream-log-in"
