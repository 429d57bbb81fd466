"""Requests signed with a key that is never sent: HTTP Message Signatures (RFC 9421) with HMAC-SHA256.

The signature covers the method, the address, the time, a nonce, and of a body its digest (RFC 9530), which
`ingest_gateway.access.digests` compares with what comes. A request is taken within five minutes of its making, and
once: its nonce is remembered for all gateways until its time is over.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import Request
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from starlette.datastructures import Headers

from ingest_gateway.gateway import Gateway
from rowstream.database import signers
from rowstream.database.connection import retryable_errors
from rowstream.database.keys import Holder
from rowstream.database.signers import AHEAD_SECONDS, WINDOW_SECONDS
from rowstream.errors import Poison, Retryable

if TYPE_CHECKING:
    from rowstream.database.signers import Signer

_LONGEST_NONCE = 128
_LONGEST_HEADER = 2_000
_WHERE = ('"@target-uri"',), ('"@authority"', '"@path"', '"@query"'), ('"@authority"', '"@path"')
_UNKNOWN = "the signature is not one of a valid key: check keyid, secret and what is signed (docs: sign requests)"


class Refused(Poison):
    """The request is not signed as it must be; the message says what is missing, and never how near it was."""


def is_signed(headers: Headers) -> bool:
    """Whether a request says that it is signed."""
    return "signature-input" in headers or "signature" in headers


@dataclass(frozen=True)
class _Message:
    """A request as the library reads one."""

    method: str
    url: str
    headers: Headers


def holder_of(request: Request, gateway: Gateway) -> Holder:
    """Who signed the request, which is remembered as used.

    Raises:
        Refused: it is not signed as it must be, too old, or was seen before.
        Retryable: the database does not answer.
        NoSecrets: the gateway has no secrets file.
    """
    for name in ("signature", "signature-input"):
        if sum(map(len, request.headers.getlist(name))) > _LONGEST_HEADER:
            raise Refused(f"the header {name} has more than {_LONGEST_HEADER} characters")
    found = _Resolver(gateway)
    covered, parameters = _verified(_message(request), found)
    if found.signer is None:
        raise Refused(_UNKNOWN)
    check_covered(request.headers, has_query=bool(request.scope["query_string"]), covered=covered)
    check_time(parameters, found.signer.now)
    nonce = _nonce(parameters)
    with retryable_errors(), gateway.keys.begin() as connection:
        if not signers.use_nonce(connection, found.signer.holder.id, nonce):
            raise Refused("a request with this nonce came before; each one needs a nonce of its own")
    return found.signer.holder


def check_covered(headers: Headers, *, has_query: bool, covered: Collection[str]) -> None:
    """Check that the signature covers all that decides what the request does; pure.

    Args:
        headers: of the request.
        has_query: whether its address has a query.
        covered: the components that the signature covers, as they stand in Signature-Input.

    Raises:
        Refused: it leaves something out; names it.
    """
    needed = ['"@method"']
    if not any(set(way) <= set(covered) for way in _WHERE[: 2 if has_query else 3]):
        raise Refused('the signature must cover "@target-uri", or "@authority", "@path" and "@query"')
    if _has_body(headers):
        needed += ['"content-digest"', '"content-type"']
    if "idempotency-key" in headers:
        needed.append('"idempotency-key"')
    if missing := [name for name in needed if name not in covered]:
        raise Refused(f"the signature must cover {', '.join(missing)}")


def check_time(parameters: dict[str, Any], now: float) -> None:
    """Check that a signature was made just now; pure. Times are seconds since 1970, `now` the database's.

    Raises:
        Refused: it was not, or does not say when.
    """
    created, expires = parameters.get("created"), parameters.get("expires")
    if not isinstance(created, int):
        raise Refused("the signature must say when it was made: created")
    if not now - WINDOW_SECONDS <= created <= now + AHEAD_SECONDS:
        here = datetime.fromtimestamp(now, UTC)
        raise Refused(
            f"the signature is valid for {WINDOW_SECONDS} seconds from its making (created), and here it is"
            f" {here:%Y-%m-%dT%H:%M:%SZ}; set the clock, and sign each request when it is sent"
        )
    if isinstance(expires, int) and expires < now:
        raise Refused("the signature says itself (expires) that its time is over")


def _nonce(parameters: dict[str, Any]) -> str:
    nonce = parameters.get("nonce")
    if not isinstance(nonce, str) or not 1 <= len(nonce) <= _LONGEST_NONCE:
        raise Refused(f"the signature must have a nonce of 1 to {_LONGEST_NONCE} characters, another one each time")
    return nonce


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class _Resolver(HTTPSignatureKeyResolver):
    """Finds the secret of the key that a signature names, and remembers whose it is."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._secrets = gateway, gateway.secrets.current()
        self.signer: Signer | None = None

    def resolve_public_key(self, key_id: str) -> bytes | None:
        try:
            wanted = UUID(key_id)
        except ValueError:
            return None
        with self._gateway.reading_keys() as connection:
            self.signer = signers.signer_of(connection, wanted)
        if self.signer is None:
            return None
        secret = signers.known_secret(self._secrets, self.signer)
        return secret.encode() if secret else None


class _Verifier(HTTPMessageVerifier):
    """Leaves the times to `check_time`, which goes by the database's clock and not by this machine's."""

    def validate_created_and_expires(self, sig_input: object, max_age: object = None) -> None:
        """Nothing here."""


def _verified(message: _Message, resolver: _Resolver) -> tuple[Collection[str], dict[str, Any]]:
    """What the one signature of a message covers, and its parameters."""
    verifier = _Verifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=resolver)
    try:
        (result,) = verifier.verify(message, max_age=None)
    except HTTPMessageSignaturesException as error:
        if isinstance(error.__cause__, Retryable):
            raise error.__cause__ from None
        raise Refused(_UNKNOWN if isinstance(error, InvalidSignature) else "the signature cannot be read") from error
    return result.covered_components, result.parameters


def _message(request: Request) -> _Message:
    scope = request.scope
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    address = f"{scope['scheme']}://{request.headers.get('host', '')}{path}" + (f"?{query}" if query else "")
    return _Message(method=request.method, url=address, headers=request.headers)
