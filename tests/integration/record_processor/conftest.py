"""A processor in this test's own database, with short patience."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from record_processor.process import Processor
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import PROCESSOR_ROLE
from tests.engines import engine_of
from tests.uploads import Uploads, uploads_in


@pytest.fixture
def uploads(database_url: str) -> Iterator[Uploads]:
    with uploads_in(database_url) as uploads:
        yield uploads


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """As the processor's role."""
    with engine_of(database_url, role=PROCESSOR_ROLE, service=SERVICE, pool_size=4) as engine:
        yield engine


@pytest.fixture
def patience(database_url: str) -> Iterator[Patience]:
    with engine_of(database_url, service="patience", pool_size=1) as engine:
        yield Patience(engine, 1.0)


@pytest.fixture
def processor(engine: Engine, patience: Patience) -> Processor:
    return Processor(engine, patience=patience, worker="host/1")
