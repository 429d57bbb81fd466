"""Asks an OpenID Connect provider: where its endpoints and keys are, what a code stands for, who somebody is.

Addresses and keys are kept for an hour. A provider that does not answer is not asked again for some seconds, so that
its slowness stays its own; nothing of an answer is larger than 256 KiB, and no redirect is followed.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ingest_gateway.access.oidc import NotTrusted, Transaction
from ingest_gateway.access.settings import OidcSettings, is_secure

T = TypeVar("T")

_DISCOVERY = "/.well-known/openid-configuration"
_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
_KEEP_SECONDS = 3_600.0
_AGAIN_SECONDS = 5.0
_KEYS_AGAIN_SECONDS = 30.0


class ProviderAway(Exception):
    """The provider does not answer, or not as one; the reason is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is needed of a provider's discovery document (OpenID Connect Discovery, 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    secret_in_header: bool
    names_itself: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Granted:
    """What a provider gives for a code."""

    id_token: str
    access_token: str | None


def metadata_of(document: dict[str, Any], issuer: str) -> Metadata:
    """The metadata in a discovery document; pure.

    Raises:
        ProviderAway: it is another provider's, or names an endpoint that anybody could listen to.
    """
    if document.get("issuer") != issuer:
        raise ProviderAway("its discovery document names another issuer than ROWSTREAM_OIDC__ISSUER")
    endpoints = {
        name: document.get(name)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    }
    wrong = [
        name
        for name, url in endpoints.items()
        if not (isinstance(url, str) and is_secure(url)) and not (name == "userinfo_endpoint" and url is None)
    ]
    if wrong:
        raise ProviderAway(f"its discovery document names no https address as {', '.join(wrong)}")
    methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Metadata(
        **endpoints,  # type: ignore[arg-type]  # checked above
        secret_in_header="client_secret_basic" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


class Provider:
    """One provider, asked from the event loop."""

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._metadata = _Kept(self._fetch_metadata, clock)
        self._keys = _Kept(self._fetch_keys, clock)

    async def metadata(self) -> Metadata:
        """Its addresses.

        Raises:
            ProviderAway: it does not answer.
        """
        return await self._metadata.get()

    async def keys(self, *, anew: bool = False) -> KeySet:
        """Its keys; asked for anew, once in half a minute at most.

        Raises:
            ProviderAway: it does not answer.
        """
        return await self._keys.get(older=_KEYS_AGAIN_SECONDS if anew else _KEEP_SECONDS)

    async def redeem(self, code: str, transaction: Transaction) -> Granted:
        """What a code stands for.

        Raises:
            NotTrusted: the provider does not take the code.
            ProviderAway: it does not answer.
        """
        metadata, settings = await self.metadata(), self._settings
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_url or "",
            "code_verifier": transaction.verifier,
        }
        name, secret = (
            settings.client_id or "",
            settings.client_secret.get_secret_value() if settings.client_secret else "",
        )
        login = None
        if metadata.secret_in_header:
            login = httpx.BasicAuth(quote(name, safe=""), quote(secret, safe=""))  # RFC 6749, 2.3.1
        else:
            body |= {"client_id": name, "client_secret": secret}
        answer = await _ask("POST", metadata.token_endpoint, data=body, auth=login)
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise NotTrusted("the provider gives no ID token")
        return Granted(id_token=token, access_token=access if isinstance(access, str) else None)

    async def more_about(self, subject: str, access_token: str) -> dict[str, Any]:
        """What the provider says of somebody beside the ID token; nothing if it has no such endpoint.

        Raises:
            NotTrusted: it speaks of somebody else.
            ProviderAway: it does not answer.
        """
        endpoint = (await self.metadata()).userinfo_endpoint
        if endpoint is None:
            return {}
        claims = await _ask("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        if claims.get("sub") != subject:
            raise NotTrusted("the provider speaks of somebody else")
        return claims

    async def _fetch_metadata(self) -> Metadata:
        issuer = self._settings.issuer or ""
        return metadata_of(await _ask("GET", issuer.rstrip("/") + _DISCOVERY), issuer)

    async def _fetch_keys(self) -> KeySet:
        document = await _ask("GET", (await self.metadata()).jwks_uri)
        try:
            return KeySet.import_key_set(document)  # type: ignore[arg-type]  # it looks itself
        except (JoseError, KeyError, ValueError, TypeError, AttributeError):
            raise ProviderAway("its keys cannot be read") from None


class _Kept(Generic[T]):
    """Something fetched now and then; several who want it at once wait for one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = asyncio.Lock()
        self._value: tuple[float, T] | None = None
        self._failed: tuple[float, ProviderAway] | None = None

    async def get(self, *, older: float = _KEEP_SECONDS) -> T:
        """It, fetched anew if it is older than so many seconds.

        Raises:
            ProviderAway: it cannot be had now.
        """
        async with self._lock:
            now = self._clock()
            if self._value is not None and now - self._value[0] < older:
                return self._value[1]
            if self._failed is not None and now - self._failed[0] < _AGAIN_SECONDS:
                raise self._failed[1]
            try:
                value = await self._fetch()
            except ProviderAway as error:
                self._failed = (self._clock(), error)
                raise
            self._value = (self._clock(), value)
            return value


async def _ask(method: str, url: str, **how: Any) -> dict[str, Any]:
    """The JSON object that an address answers with."""
    body = b""
    try:
        async with (
            asyncio.timeout(2 * _SECONDS),
            httpx.AsyncClient(timeout=_SECONDS) as client,
            client.stream(method, url, **how) as answer,
        ):
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise ProviderAway("its answer does not end")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise ProviderAway(type(error).__name__) from None
    if method == "POST" and answer.is_client_error:
        raise NotTrusted(f"the provider does not take the code ({answer.status_code})")
    if answer.status_code != httpx.codes.OK:
        raise ProviderAway(f"it answers {answer.status_code}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderAway("its answer is no JSON") from None
    if not isinstance(found, dict):
        raise ProviderAway("its answer is no JSON object")
    return found
