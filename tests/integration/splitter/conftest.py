"""Uploads in this test's own database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from rowstream.database.connection import SPLITTER_ROLE
from tests import servers
from tests.engines import engine_of
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
