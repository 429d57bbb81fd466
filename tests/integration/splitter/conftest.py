"""Uploads in this test's own database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from rowstream.database.connection import SPLITTER_ROLE
from tests import servers
from tests.engines import engine_of
from tests.integration.splitter.support import System
from tests.services import processing, splitting
from tests.uploads import Uploads, uploads_in


@pytest.fixture
def uploads(database_url: str) -> Iterator[Uploads]:
    with uploads_in(database_url) as uploads:
        yield uploads


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """As the splitter's role."""
    with engine_of(database_url, role=SPLITTER_ROLE, service="splitter", pool_size=8) as engine:
        yield engine


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.broker_server(tmp_path_factory.mktemp("broker")) as server:
        yield server.address


@pytest.fixture(scope="module")
def system(
    postgres: servers.Postgres, object_store: servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    store = servers.store_of(object_store)
    with (
        servers.broker_server(tmp_path_factory.mktemp("broker")) as broker,
        postgres.fresh_database() as url,
        uploads_in(url) as uploads,
        splitting(url, broker.address, store, schema_patience_seconds=1.0),
        processing(url, broker.address),
    ):
        yield System(url, broker.address, uploads, store)
