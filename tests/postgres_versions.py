"""A fixture for tests whose SQL has to be right on every supported Postgres.

A module asks for it with `postgres = every_postgres`; each of its tests then runs once on each.
"""

import pytest

from tests import servers


@pytest.fixture(scope="session", params=["embedded_postgres", "postgres_15"])
def every_postgres(request: pytest.FixtureRequest) -> servers.Postgres:
    """The newest and the oldest Postgres that is supported."""
    server: servers.Postgres = request.getfixturevalue(request.param)
    return server
