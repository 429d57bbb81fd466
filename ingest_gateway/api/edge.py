"""What happens to every request and answer at the outermost edge, whatever route they take.

The correlation id comes in or is made, the trace goes on, headers for the caller's safety go out, the request is
logged (never its body or its query) and measured, a body that is too large is refused before it is read, and an error
that nobody caught is answered as a problem.
"""

import time
from collections.abc import MutableMapping
from typing import Any

from fastapi import Request
from starlette import status
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_gateway.problems import Problem, answer, internal_error
from rowstream.messages.envelope import child_span, correlation_id_of
from rowstream.runtime.logging import get_logger, log_context
from rowstream.runtime.metrics import REQUEST_DURATION, REQUESTS

log = get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024
CORRELATION_HEADER = "X-Correlation-ID"
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class Edge:
    """The outermost ASGI layer of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id_of(headers.get(CORRELATION_HEADER))
        state["traceparent"] = child_span(headers.get("traceparent", ""))
        out = _Answer(send, state["correlation_id"])
        begun = time.monotonic()
        with log_context(correlation_id=state["correlation_id"]):
            try:
                await self._serve(scope, receive, out, headers)
            finally:
                _account(scope, out.status, time.monotonic() - begun)

    async def _serve(self, scope: Scope, receive: Receive, out: "_Answer", headers: Headers) -> None:
        request = Request(scope)
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > MAX_BODY_BYTES:
            problem = _too_large()
            await answer(request, problem.status_code, problem.kind, problem.detail)(scope, receive, out)
            return
        try:
            await self._app(scope, _limited(receive), out)
        except Exception:
            log.exception("request failed", path=scope["path"])
            if out.status:
                raise  # the server cuts the connection, so nobody takes half an answer for a whole one
            await internal_error(request)(scope, receive, out)


class _Answer:
    """`send` with the headers that every answer has; remembers the status."""

    def __init__(self, send: Send, correlation_id: str) -> None:
        self._send, self._correlation_id = send, correlation_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[CORRELATION_HEADER] = self._correlation_id
            for name, value in SAFETY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return limited


def _too_large() -> Problem:
    detail = f"the body has more than {MAX_BODY_BYTES} bytes; a file is sent to the presigned URL, not here"
    return Problem(status.HTTP_413_CONTENT_TOO_LARGE, "body_too_large", detail)


def _account(scope: MutableMapping[str, Any], code: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = getattr(scope.get("route"), "path", "unknown")
    REQUESTS.labels(method, route, str(code)).inc()
    REQUEST_DURATION.labels(method, route).observe(seconds)
    if scope["path"] not in _QUIET:
        log.info("request", method=method, path=scope["path"], status=code, duration_ms=round(seconds * 1000))
