"""When keys were last used, written once a minute a key at most; and nonces, forgotten when their time is over."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from rowstream.database import keys, signers
from rowstream.database.access_tables import api_keys
from rowstream.database.connection import KEYS_ROLE
from rowstream.database.key_uses import KeyUses
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Retryable
from rowstream.ids import new_id
from tests.engines import engine_of


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url, pool_size=1) as engine:
        yield engine


@pytest.fixture
def role(database_url: str) -> Iterator[Engine]:
    """As the role that finds out who asks."""
    with engine_of(database_url, role=KEYS_ROLE, pool_size=1) as engine:
        yield engine


@pytest.fixture
def key_id(owner: Engine) -> UUID:
    made = new_id()
    with owner.begin() as connection:
        keys.ensure_default_organization(connection)
        keys.make_key(connection, DEFAULT_ORGANIZATION, "tests", key_id=made)
    return made


def last_use(owner: Engine, key_id: UUID) -> tuple[datetime | None, str | None]:
    with owner.connect() as connection:
        query = select(api_keys.c.last_used_at, api_keys.c.last_used_from).where(api_keys.c.id == key_id)
        row = connection.execute(query).one()
    return row.last_used_at, row.last_used_from


def test_many_uses_are_one_write_a_minute(owner: Engine, role: Engine, key_id: UUID) -> None:
    clock = Clock()
    uses = KeyUses(clock)
    assert uses.write(role) == 0
    for number in range(1_000):
        uses.note(key_id, f"192.0.2.{number % 250}")
    assert uses.write(role) == 1
    first = last_use(owner, key_id)
    assert first[1] == "192.0.2.249"
    uses.note(key_id, "198.51.100.1")
    clock.now += 59
    assert uses.write(role) == 0
    assert last_use(owner, key_id) == first
    with owner.begin() as connection:
        connection.execute(text("UPDATE api_keys SET last_used_at = last_used_at - interval '3 min'"))
    clock.now += 2
    assert uses.write(role) == 1
    assert last_use(owner, key_id)[1] == "198.51.100.1"
    assert uses.write(role) == 0


def test_it_is_the_time_of_the_use_and_not_that_of_the_write(owner: Engine, role: Engine, key_id: UUID) -> None:
    clock = Clock()
    uses = KeyUses(clock)
    uses.note(key_id, None)
    clock.now += 3_600
    uses.write(role)
    with owner.connect() as connection:
        query = text("SELECT extract(epoch FROM clock_timestamp() - last_used_at) FROM api_keys WHERE id = :id")
        ago = float(connection.execute(query, {"id": key_id}).scalar_one())
    assert 3_600 <= ago < 3_900


def test_another_gateways_later_note_within_the_minute_stays(owner: Engine, role: Engine, key_id: UUID) -> None:
    here, there = KeyUses(Clock()), KeyUses(Clock())
    here.note(key_id, "here")
    here.write(role)
    there.note(key_id, "there")
    there.write(role)
    assert last_use(owner, key_id)[1] == "here"


def test_what_could_not_be_written_is_kept(owner: Engine, role: Engine, key_id: UUID) -> None:
    uses = KeyUses(Clock())
    uses.note(key_id, "here")
    with (
        engine_of("postgresql://nobody@127.0.0.1:1/none", pool_size=1) as away,
        pytest.raises(Retryable),
    ):
        uses.write(away)
    assert uses.write(role) == 1
    assert last_use(owner, key_id)[1] == "here"


def test_the_role_writes_nothing_else_of_a_key(role: Engine, key_id: UUID) -> None:
    with role.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("UPDATE api_keys SET expires_at = null WHERE id = :id"), {"id": key_id})


def test_a_nonce_is_used_once_and_forgotten_when_its_time_is_over(owner: Engine, role: Engine, key_id: UUID) -> None:
    with role.begin() as connection:
        assert signers.use_nonce(connection, key_id, "a")
        assert not signers.use_nonce(connection, key_id, "a")
        assert signers.use_nonce(connection, key_id, "b")
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE request_nonces SET seen_at = seen_at - make_interval(secs => :s) WHERE nonce = 'a'"),
            {"s": signers.KEEP_NONCES_SECONDS},
        )
    with role.begin() as connection:
        assert signers.forget_nonces(connection, after_seconds=signers.KEEP_NONCES_SECONDS) == 1
        assert not signers.use_nonce(connection, key_id, "b")
    assert signers.KEEP_NONCES_SECONDS > signers.WINDOW_SECONDS + signers.AHEAD_SECONDS
