"""Pools of connections that tests open and close themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from rowstream.database.connection import make_engine


@contextmanager
def engine_of(url: str, *, service: str = "tests", **facts: Any) -> Iterator[Engine]:
    """A pool of connections to the database at `url`, closed afterwards, also when a test fails inside.

    Left open, its connections would be warned of in a later test, when Python throws them away. `facts` are what
    `make_engine` takes: `role`, `pool_size`, `idle_seconds`.
    """
    engine = make_engine(url, service=service, **facts)
    try:
        yield engine
    finally:
        engine.dispose()
