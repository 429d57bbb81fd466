"""Logging in with a provider: the two requests of a browser, and whom they let in."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette import status
from starlette.concurrency import run_in_threadpool

from ingest_gateway.access import oidc, sessions
from ingest_gateway.access.log_in import Entrance
from ingest_gateway.access.oidc import Identity, NotTrusted, Transaction, UnknownKey
from ingest_gateway.access.oidc_provider import Provider, ProviderAway
from ingest_gateway.access.sessions import ASK, Opened, Visit
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import RETRY_AFTER_SECONDS, Problem
from rowstream.database import users
from rowstream.database.users import User
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import LOG_INS

log = get_logger(__name__)

_BY = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a browser brings back from the provider."""

    code: str | None
    state: str | None
    issuer: str | None
    cookie: str | None


async def start(entrance: Entrance, organization: str | None) -> tuple[str, str]:
    """Where to send a browser, and the cookie to give it.

    Raises:
        Problem: 404, no provider is set up; 503, it does not answer.
        NoSecrets: nothing signs tokens.
    """
    provider = _provider(entrance)
    keys = entrance.gateway.secrets.current()
    transaction = oidc.begin(organization, time.time())
    try:
        endpoint = (await provider.metadata()).authorization_endpoint
    except ProviderAway as error:
        raise _away(error) from None
    return oidc.address(endpoint, entrance.gateway.settings.oidc, transaction), oidc.sealed(transaction, keys)


async def finish(entrance: Entrance, returned: Returned, visit: Visit) -> Opened:
    """Open a session for somebody whom the provider vouches for, and who was invited.

    At the first time their user is bound to the provider's account: from then on it is that account that lets them in,
    whatever e-mail address it has.

    Raises:
        Problem: 401, they cannot be let in; 403 and 409, as `sessions.enter`; 404, no provider is set up; 429, too many
            tries; 503, it does not answer.
        Retryable: the database does not answer.
        NoSecrets: nothing signs tokens.
    """
    provider = _provider(entrance)
    await run_in_threadpool(entrance.attempts.look, visit.address)
    try:
        transaction, identity = await _identified(entrance, provider, returned)
    except ProviderAway as error:
        raise _away(error) from None
    except NotTrusted as error:
        log.warning("log-in by the provider refused", reason=str(error))
        LOG_INS.labels(_BY, "refused").inc()
        await run_in_threadpool(entrance.attempts.failed, visit.address)
        detail = "the log-in by the provider did not succeed; begin again at /auth/oidc/start"
        raise Problem(status.HTTP_401_UNAUTHORIZED, "log_in_failed", detail, headers=ASK) from None
    return await run_in_threadpool(_admit, entrance.gateway, identity, transaction.organization, visit)


async def _identified(entrance: Entrance, provider: Provider, returned: Returned) -> tuple[Transaction, Identity]:
    settings, secrets = entrance.gateway.settings.oidc, entrance.gateway.secrets.current()
    transaction = oidc.unsealed(returned.cookie, returned.state or "", secrets, time.time())
    if returned.issuer not in {None, settings.issuer} or (
        returned.issuer is None and (await provider.metadata()).names_itself
    ):
        raise NotTrusted("the answer is of another provider")  # RFC 9207
    if not returned.code:
        raise NotTrusted("the provider says no")
    granted = await provider.redeem(returned.code, transaction)
    claims = await _claims(provider, granted.id_token, entrance, transaction.nonce)
    if "email" not in claims and granted.access_token:
        claims = {**await provider.more_about(claims["sub"], granted.access_token), **claims}
    return transaction, oidc.identity_of(claims, settings)


async def _claims(provider: Provider, id_token: str, entrance: Entrance, nonce: str) -> dict[str, Any]:
    settings = entrance.gateway.settings.oidc
    try:
        return oidc.claims_of(id_token, await provider.keys(), settings, nonce, time.time())
    except UnknownKey:
        return oidc.claims_of(id_token, await provider.keys(anew=True), settings, nonce, time.time())


def _admit(gateway: Gateway, identity: Identity, organization: str | None, visit: Visit) -> Opened:
    issuer = gateway.settings.oidc.issuer or ""
    with gateway.reading_keys() as connection:
        user = users.find_by_subject(connection, issuer, identity.subject) or users.find(connection, identity.email)
    if user is None:
        raise sessions.refused(_BY)

    def still(connection: Connection, now: User) -> bool:
        if now.oidc_subject is None:
            return users.bind(connection, now.id, issuer, identity.subject)
        return (now.oidc_issuer, now.oidc_subject) == (issuer, identity.subject)

    return sessions.enter(gateway, user.id, organization, visit, by=_BY, still=still)


def _provider(entrance: Entrance) -> Provider:
    if entrance.provider is None:
        detail = "no provider is set up here; whoever runs the gateway sets ROWSTREAM_OIDC__ISSUER"
        raise Problem(status.HTTP_404_NOT_FOUND, "no_provider", detail)
    return entrance.provider


def _away(error: ProviderAway) -> Problem:
    log.warning("the provider is not available", reason=str(error))
    detail = f"the provider that people log in with does not answer; try again in {RETRY_AFTER_SECONDS} seconds"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(status.HTTP_503_SERVICE_UNAVAILABLE, "provider_unavailable", detail, headers=headers)
