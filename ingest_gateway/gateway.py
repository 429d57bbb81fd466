"""What the gateway's rooms share: the database, the object store, the settings, the health."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from ingest_gateway.settings import GatewaySettings
from rowstream.database.connection import (
    GATEWAY_ROLE,
    IDLE_SECONDS,
    KEYS_ROLE,
    act_for,
    make_engine,
    retryable_errors,
)
from rowstream.database.key_uses import KeyUses
from rowstream.runtime.health import Health
from rowstream.runtime.secrets import SecretsFile
from rowstream.storage.s3 import S3Store


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The gateway's adapters; `engine` sees one organization at a time, `keys` only what tells who asks.

    `uses` notes when keys were used, until upkeep writes it down.
    """

    settings: GatewaySettings
    engine: Engine
    keys: Engine
    store: S3Store
    health: Health
    secrets: SecretsFile
    uses: KeyUses = field(default_factory=KeyUses)

    @contextmanager
    def acting_for(self, organization_id: UUID) -> Iterator[Connection]:
        """A transaction that sees and writes the rows of one organization, committed at the end.

        Raises:
            Retryable: the database does not answer.
        """
        with retryable_errors(), self.engine.begin() as connection:
            act_for(connection, organization_id)
            yield connection

    @contextmanager
    def reading_keys(self) -> Iterator[Connection]:
        """A connection for questions of who asks; each statement by itself, without the cost of a transaction.

        Raises:
            Retryable: the database does not answer.
        """
        with retryable_errors(), self.keys.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close all connections to the database."""
        self.engine.dispose()
        self.keys.dispose()


def open_gateway(settings: GatewaySettings, health: Health) -> Gateway:
    """The adapters that the settings name; connects when they are first used.

    Raises:
        Fatal: the secrets file cannot be used.
    """
    url, size = settings.database.url.get_secret_value(), settings.database.pool_size
    return Gateway(
        settings=settings,
        engine=make_engine(url, role=GATEWAY_ROLE, service="gateway", pool_size=size, idle_seconds=IDLE_SECONDS),
        keys=make_engine(url, role=KEYS_ROLE, service="gateway-keys", pool_size=size, idle_seconds=IDLE_SECONDS),
        store=S3Store(settings.storage),
        health=health,
        secrets=SecretsFile(settings.access.secrets_file),
    )


async def gateway_of(request: Request) -> Gateway:
    """The gateway that serves this request; async as it waits for nothing, and FastAPI gives others a thread."""
    gateway: Gateway = request.app.state.gateway
    return gateway


TheGateway = Annotated[Gateway, Depends(gateway_of)]
