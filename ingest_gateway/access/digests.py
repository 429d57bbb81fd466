"""Compares a body with the digest that its request announces (Content-Digest, RFC 9530), while it comes.

So a signed request carries the very bytes that were signed, be they 64 kB of JSON or a file that is streamed: the last
piece of a body that differs never reaches the one who reads it. A digest is compared where there is one, signed or not.
"""

import hashlib
import hmac

from http_message_signatures import ContentDigest, InvalidSignature
from starlette import status
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_gateway.problems import Problem

_HEADER = "content-digest"
_LONGEST = 1_000


class Unreadable(ValueError):
    """The header is no digest that can be compared."""


def announced(values: list[str]) -> dict[str, bytes]:
    """The digests in the header's values, by algorithm; pure.

    Raises:
        Unreadable: there is something else in it.
    """
    text = ", ".join(values)
    if len(text) > _LONGEST:
        raise Unreadable
    try:
        return ContentDigest._parse(text)  # noqa: SLF001 - its public face takes only whole bodies
    except (InvalidSignature, ValueError):
        raise Unreadable from None


class Digests:
    """An ASGI layer that lets no body through to its end that is not the one announced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        values = Headers(scope=scope).getlist(_HEADER) if scope["type"] == "http" else []
        await self._app(scope, _compared(receive, values) if values else receive, send)


def _compared(receive: Receive, values: list[str]) -> Receive:
    try:
        wanted = announced(values)
    except Unreadable:
        return _refusing
    hashes = {algorithm: hashlib.new(algorithm.replace("-", "")) for algorithm in wanted}

    async def compared() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            for sum_ in hashes.values():
                sum_.update(message.get("body", b""))
            if not message.get("more_body", False) and not all(
                hmac.compare_digest(hashes[algorithm].digest(), digest) for algorithm, digest in wanted.items()
            ):
                raise _differs()
        return message

    return compared


async def _refusing() -> Message:
    detail = "the header Content-Digest cannot be read; send sha-256=:<base64 of the body's digest>: as RFC 9530 says"
    raise Problem(status.HTTP_400_BAD_REQUEST, "digest_unreadable", detail)


def _differs() -> Problem:
    detail = "the body is not the one that Content-Digest announces; send the bytes that were digested, unchanged"
    return Problem(status.HTTP_400_BAD_REQUEST, "digest_differs", detail)
