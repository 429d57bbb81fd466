"""What happens to every request and answer at the outermost edge, whatever route they take.

The correlation id comes in or is made, the trace goes on, it is found out where the request comes from, headers for
the caller's safety go out, the request is logged (never its body or its query) and measured, one too many is refused
before anything is done for it, as is a head that misleads or a body that is too large, and an error that nobody caught
is answered as a problem.
"""

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_gateway.access.address import client_address, scheme
from ingest_gateway.access.buckets import Verdict
from ingest_gateway.access.limit_answers import headers_of, too_many
from ingest_gateway.access.limits import Limits
from ingest_gateway.api.bodies import MAX_BODY_BYTES, announced, limited, too_large
from ingest_gateway.api.cors import cors
from ingest_gateway.api.heads import fault_of
from ingest_gateway.api.sunset import Retirement, headers_for
from ingest_gateway.http_settings import GatewayHttp
from ingest_gateway.problems import Problem, answer, internal_error, shown_path
from rowstream.messages.envelope import child_span, correlation_id_of
from rowstream.runtime.logging import get_logger, log_context
from rowstream.runtime.metrics import REQUEST_DURATION, REQUESTS

log = get_logger(__name__)

CORRELATION_HEADER = "X-Correlation-ID"
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_FREE = frozenset({"/healthz", "/readyz"})
_ASKING_AT_ONCE = 16
_SLOWED_AT_ONCE = 200
_SLOWED_SECONDS = 1.0


class Edge:
    """The outermost ASGI layer of the API."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        http: GatewayHttp,
        limits: Limits,
        retirements: Mapping[str, Retirement],
        large_bodies: Mapping[str, int],
    ) -> None:
        self._trusted = http.trusted_networks
        self._cors = cors(http.allowed_origins)
        self._app = self._cors(app)
        self._http, self._limits, self._retirements = http, limits, retirements
        self._large_bodies = large_bodies
        self._asking = CapacityLimiter(_ASKING_AT_ONCE)
        self._slower = _Slower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id_of(headers.get(CORRELATION_HEADER))
        state["traceparent"] = child_span(headers.get("traceparent", ""))
        self._find_origin(scope, headers)
        out = _Answer(send, scope, headers_for(scope["path"], self._retirements), self._slower)
        begun = time.monotonic()
        with log_context(correlation_id=state["correlation_id"]):
            try:
                await self._serve(scope, receive, out, headers)
            finally:
                _account(scope, out.status, time.monotonic() - begun)

    def _find_origin(self, scope: Scope, headers: Headers) -> None:
        """Put the client's address into the state, and the scheme that the client used into the scope."""
        peer = scope["client"][0] if scope.get("client") else None
        scope["state"]["address"] = client_address(peer, headers.getlist("x-forwarded-for"), self._trusted)
        scope["scheme"] = scheme(peer, scope["scheme"], headers.getlist("x-forwarded-proto"), self._trusted)

    async def _serve(self, scope: Scope, receive: Receive, out: "_Answer", headers: Headers) -> None:
        problem = await self._refusal(scope, headers)
        if problem is not None:
            refusal = answer(
                Request(scope),
                problem.status_code,
                problem.kind,
                problem.detail,
                headers=problem.headers,
                **problem.more,
            )
            await self._cors(refusal)(scope, receive, out)
            return
        try:
            await self._app(scope, limited(receive, self._most_bytes(scope), self._http), out)
        except Exception:
            log.exception("request failed", path=shown_path(scope["path"]))
            if out.status:
                raise  # the server cuts the connection, so nobody takes half an answer for a whole one
            await self._cors(internal_error(Request(scope)))(scope, receive, out)

    async def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        """Why the request is refused before it is looked at; None if it is not."""
        if scope["path"] not in _FREE:
            refused = await self._over_limit(scope["state"], headers)
            if refused is not None:
                return too_many(refused)
        most = self._most_bytes(scope)
        return fault_of(scope, headers) or (too_large(most) if announced(headers) > most else None)

    def _most_bytes(self, scope: Scope) -> int:
        """How large the request's body may be: small, but for the paths that take files."""
        return self._large_bodies.get(scope["path"], MAX_BODY_BYTES)

    async def _over_limit(self, state: MutableMapping[str, Any], headers: Headers) -> Verdict | None:
        """The verdict of an empty bucket: the address's, or that of a key or an organization which is known here."""
        limits, address = self._limits, state["address"]
        bucket = limits.of_address(address) if address else None
        if bucket:
            verdict = limits.look(bucket) if limits.asks_redis else limits.take(bucket)
            if verdict.allowed and limits.asks_redis:
                verdict = await to_thread.run_sync(limits.take, bucket, limiter=self._asking)
            state["limits"] = [verdict]
            if not verdict.allowed:
                state["slow_down"] = limits.refused(bucket)
                return verdict
        authorization = headers.get("authorization")
        bucket = limits.emptied_by(authorization) if authorization else None
        if bucket and not (verdict := limits.look(bucket)).allowed:
            state["limits"] = [*state.get("limits", ()), verdict]
            state["slow_down"] = limits.refused(bucket)
            return verdict
        return None


class _Slower:
    """Lets refusals wait a little, so that whoever sends faster than they are refused is slowed down to our pace."""

    def __init__(self) -> None:
        self._waiting = 0

    async def wait(self) -> bool:
        """Wait; False at once if too many wait already, so that what waits stays bounded."""
        if self._waiting >= _SLOWED_AT_ONCE:
            return False
        self._waiting += 1
        try:
            await asyncio.sleep(_SLOWED_SECONDS)
        finally:
            self._waiting -= 1
        return True


class _Answer:
    """`send` with the headers that every answer has; remembers the status."""

    def __init__(self, send: Send, scope: Scope, more: Mapping[str, str], slower: _Slower) -> None:
        self._send, self._scope, self._more, self._slower = send, scope, more, slower
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            state = self._scope["state"]
            headers = MutableHeaders(scope=message)
            headers[CORRELATION_HEADER] = state["correlation_id"]
            for name, value in {**headers_of(state.get("limits", ())), **self._more}.items():
                headers[name] = value
            for name, value in SAFETY_HEADERS.items():
                headers.setdefault(name, value)
            if self._scope["scheme"] == "https":
                headers["Strict-Transport-Security"] = HSTS
            if state.get("slow_down") and not await self._slower.wait():
                headers["Connection"] = "close"
        await self._send(message)


def _account(scope: MutableMapping[str, Any], code: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = getattr(scope.get("route"), "path", "unknown")
    REQUESTS.labels(method, route, str(code)).inc()
    REQUEST_DURATION.labels(method, route).observe(seconds)
    # Refusals for too many requests are told in one line for many, by those who refuse.
    if scope["path"] not in _QUIET and "slow_down" not in scope["state"]:
        log.info(
            "request",
            method=method,
            path=shown_path(scope["path"]),
            status=code,
            duration_ms=round(seconds * 1000),
            address=scope["state"]["address"],
        )
