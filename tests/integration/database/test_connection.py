"""A pool whose connections the server has ended meanwhile gives new ones, without asking the server each time."""

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from rowstream.database.connection import is_away, is_refusal
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


@pytest.mark.parametrize(
    ("state", "away", "refusal"),
    [
        ("54000", False, True),  # a limit that a value passes, which the driver calls operational
        ("22003", False, True),
        ("23505", False, True),
        ("53100", True, False),  # the disk is full
        ("55P03", True, False),  # a lock was not had in time
        ("57P01", True, False),  # an operator has ended the session
        ("42P01", False, False),  # no such table
    ],
)
def test_a_server_that_is_away_is_told_from_a_value_that_it_refuses(
    database_url: str, state: str, *, away: bool, refusal: bool
) -> None:
    with engine_of(database_url) as engine, engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
    assert (is_away(raised.value), is_refusal(raised.value)) == (away, refusal)
