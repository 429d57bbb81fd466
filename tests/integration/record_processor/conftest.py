"""A processor in this test's own database, with short patience."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from record_processor.process import Processor
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import PROCESSOR_ROLE, make_engine
from tests.uploads import Uploads, uploads_in


@pytest.fixture
def uploads(database_url: str) -> Iterator[Uploads]:
    with uploads_in(database_url) as uploads:
        yield uploads


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """As the processor's role."""
    engine = make_engine(database_url, role=PROCESSOR_ROLE, service=SERVICE, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def patience(database_url: str) -> Iterator[Patience]:
    engine = make_engine(database_url, service="patience", pool_size=1)
    yield Patience(engine, 1.0)
    engine.dispose()


@pytest.fixture
def processor(engine: Engine, patience: Patience) -> Processor:
    return Processor(engine, patience=patience, worker="host/1")
