"""A pool whose connections the server has ended meanwhile gives new ones, without asking the server each time."""

import psycopg
from sqlalchemy import Engine, text

from tests.engines import engine_of

END = b"""
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 20000)) FROM pg_stat_activity
    WHERE application_name = 'rowstream-ended'
"""


def backends(engine: Engine) -> set[int]:
    """The server's processes behind two connections of the pool at a time."""
    with engine.connect() as one, engine.connect() as other:
        return {each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (one, other)}


def test_connections_that_the_server_has_ended_are_replaced(database_url: str) -> None:
    with engine_of(database_url, service="ended", pool_size=2) as engine:
        before = backends(engine)
        assert backends(engine) == before, "they are kept"
        with psycopg.connect(database_url) as operator:
            assert operator.execute(END).fetchone() == (2,)
        assert backends(engine).isdisjoint(before)
