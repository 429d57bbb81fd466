"""The web server around the application: TLS, and connections that cost something only while they are of use.

The server itself waits for ever for a request's head, and for the rest of a body that was refused; and it takes any
number of connections. All of that ends here.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from starlette import status
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest_gateway import problems
from ingest_gateway.access.address import is_trusted
from ingest_gateway.api.edge import CORRELATION_HEADER, SAFETY_HEADERS
from ingest_gateway.api.heads import MAX_HEAD_BYTES, head_too_large
from ingest_gateway.gateway import Gateway
from ingest_gateway.http_settings import GatewayHttp
from ingest_gateway.problems import Problem
from rowstream.errors import Fatal
from rowstream.messages.envelope import correlation_id_of
from rowstream.runtime.logging import client_logger
from rowstream.runtime.metrics import REFUSED

_LINGER_SECONDS = 5.0
_NOT_HTTP = Problem(
    status.HTTP_400_BAD_REQUEST,
    "not_http",
    "this is no request of HTTP/1.1 that can be read; a client of TLS speaks to the port that has it",
)


def web_server(gateway: Gateway, app: FastAPI) -> uvicorn.Server:
    """A server of this application, as the settings want it.

    Raises:
        Fatal: the certificate or its key cannot be used; says which and why.
    """
    client_logger("uvicorn.error")  # one line for many requests that cannot be read
    http = gateway.settings.http
    config = uvicorn.Config(
        app,
        http=partial(_Connection, _Crowd(http)),  # type: ignore[arg-type]  # it is only ever called
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the edge reads them, and believes only proxies that the settings trust
        lifespan="off",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=http.keep_alive_seconds,
        timeout_graceful_shutdown=gateway.settings.gateway.shutdown_seconds,
        ssl_context_factory=_tls(http) if http.certificate_file else None,
    )
    config.load()
    return uvicorn.Server(config)


def _tls(http: GatewayHttp) -> Any:
    def context(_: object, __: object) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            tls.load_cert_chain(str(http.certificate_file), http.key_file, password=_no_password)
        except (OSError, ValueError) as error:
            raise Fatal(
                f"ROWSTREAM_HTTP__CERTIFICATE_FILE ({http.certificate_file}) and ROWSTREAM_HTTP__KEY_FILE"
                f" ({http.key_file}) cannot be used: {error}"
            ) from None
        return tls

    return context


def _no_password() -> str:
    """The server would otherwise ask for one at the terminal."""
    raise ValueError("the key has a password; take it off")


class _Crowd:
    """Who is connected to one server."""

    def __init__(self, http: GatewayHttp) -> None:
        self.http, self._trusted = http, http.trusted_networks
        self._of_address: Counter[str] = Counter()

    def enter(self, address: str, connections: int) -> bool:
        """Count one more, `connections` with it in all; False if that is too many."""
        self._of_address[address] += 1
        too_many = self._of_address[address] > self.http.connections_per_address
        return connections <= self.http.max_connections and not (too_many and not is_trusted(address, self._trusted))

    def leave(self, address: str) -> None:
        """Count one less."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class _Connection(H11Protocol):
    """A connection that ends when a request's head does not come, and at once when there are too many like it."""

    def __init__(self, crowd: _Crowd, **of_server: Any) -> None:
        super().__init__(**of_server)
        self._crowd = crowd
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the server does
        super().connection_made(transport)
        if self._crowd.enter(self._address, len(self.connections)):
            self._judge()
        else:
            REFUSED.labels("too_many_connections").inc()
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._served()
        self._crowd.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._judge()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._judge()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - of the server, which knows less than what it handles
        """Refuse what is no request, as the server does while it handles why, in the form of all other errors."""
        error = sys.exception()
        too_large = getattr(error, "error_status_hint", 400) == status.HTTP_431_REQUEST_HEADER_FIELDS_TOO_LARGE
        problem = head_too_large() if too_large else _NOT_HTTP
        correlation_id = correlation_id_of(None)
        body = problems.body_of(
            problem.status_code, problem.kind, problem.detail, instance="", correlation_id=correlation_id
        )
        headers = {
            **SAFETY_HEADERS,
            CORRELATION_HEADER: correlation_id,
            "Content-Type": problems.MEDIA_TYPE,
            "Connection": "close",
        }
        event = h11.Response(
            status_code=problem.status_code,
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        )
        REFUSED.labels(problem.kind).inc()
        for part in (event, h11.Data(data=json.dumps(body).encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _judge(self) -> None:
        """Set the deadline of whatever is waited for now; a request that is served has its own."""
        if self.conn.their_state is h11.IDLE:
            seconds = self._crowd.http.head_seconds
        elif self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            seconds = _LINGER_SECONDS
        else:
            self._served()
            return
        if self._deadline is None and self.timeout_keep_alive_task is None:
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _served(self) -> None:
        """Nothing is waited for."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        """What was waited for did not come."""
        self._deadline = None
        if not self.transport.is_closing():
            REFUSED.labels("request_too_slow").inc()
            self.transport.close()
