"""The gateway's web application on a real socket, for tests that speak HTTP with it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from ingest_gateway.api.app import make_app
from ingest_gateway.api.server import web_server
from ingest_gateway.doer import Doer, system
from ingest_gateway.gateway import Gateway, open_gateway
from ingest_gateway.settings import GatewaySettings
from rowstream.database.keys import DEFAULT_ORGANIZATION, make_key
from rowstream.runtime.health import Health
from rowstream.runtime.settings import StorageSettings
from tests import servers
from tests.engines import engine_of


def gateway_settings(database_url: str, storage: StorageSettings, **gateway: Any) -> GatewaySettings:
    """Settings of a gateway on these servers; `gateway` is its own slice."""
    return GatewaySettings.load(database={"url": database_url}, storage=storage, gateway=gateway)


@contextmanager
def opened(settings: GatewaySettings) -> Iterator[Gateway]:
    """The gateway's adapters."""
    with closing(open_gateway(settings, Health("database", "storage"))) as gateway:
        yield gateway


@contextmanager
def serving(settings: GatewaySettings, prepare: Callable[[FastAPI], None] = lambda _: None) -> Iterator[str]:
    """The gateway's web application at the address that this gives; nothing but the web server runs.

    `prepare` may change it before it serves.
    """
    with opened(settings) as gateway, socket.create_server(("127.0.0.1", 0)) as listener:
        app = make_app(gateway)
        prepare(app)
        server = web_server(gateway, app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.until(lambda: server.started, what="the web server's start")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            app.state.limits.close()
            app.state.entrance.passwords.close()


def new_key(database_url: str, organization_id: UUID = DEFAULT_ORGANIZATION) -> str:
    """A new API key of an organization."""
    with engine_of(database_url, pool_size=1) as engine, engine.begin() as connection:
        return make_key(connection, organization_id, "tests")


def doer(organization_id: UUID = DEFAULT_ORGANIZATION, *, way: str = "api") -> Doer:
    """Somebody for whom a test acts without a request."""
    return system(organization_id, "tests", way=way, correlation_id="c")


def client_of(address: str, key: str | None) -> httpx.Client:
    """An HTTP client that sends this key."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=address, headers=headers, timeout=30)
