"""The first owner and the secrets file: made once, kept while they are right, and left alone otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from rowstream.database import users
from rowstream.database.access_tables import memberships
from rowstream.database.keys import DEFAULT_ORGANIZATION, ensure_default_organization
from rowstream.errors import Fatal
from rowstream.runtime.passwords import hash_password, is_right
from rowstream.runtime.secrets import read
from rowstream.stack.addresses import OWNER
from rowstream.stack.bootstrap import ensure_owner, ensure_secrets
from tests.engines import engine_of


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url, pool_size=1) as engine:
        with engine.begin() as connection:
            ensure_default_organization(connection)
        yield engine


def hash_of_owner(engine: Engine) -> str | None:
    with engine.connect() as connection:
        owner = users.find(connection, OWNER)
        return owner.password_hash if owner else None


def test_an_owner_is_made_whose_password_is_kept(database_url: str, engine: Engine) -> None:
    kept: list[str] = []
    assert ensure_owner(database_url, None, kept.append)
    (password,) = kept
    assert is_right(hash_of_owner(engine) or "", password)
    with engine.connect() as connection:
        assert connection.execute(select(memberships.c.role, memberships.c.created_by)).all() == [
            ("owner", "rowstream up")
        ]
    assert ensure_owner(database_url, password, kept.append)
    assert kept == [password]


def test_a_password_that_was_kept_before_the_owner_was_made_becomes_theirs(database_url: str, engine: Engine) -> None:
    assert ensure_owner(database_url, "kept when the power went", lambda _: None)
    assert is_right(hash_of_owner(engine) or "", "kept when the power went")


def test_a_password_that_was_changed_is_no_longer_kept(database_url: str, engine: Engine) -> None:
    kept: list[str] = []
    ensure_owner(database_url, None, kept.append)
    with engine.begin() as connection:
        owner = users.find(connection, OWNER)
        assert owner
        users.set_password(connection, owner.id, hash_password("another password"))
    assert not ensure_owner(database_url, kept[0], kept.append)
    assert not ensure_owner(database_url, None, kept.append)
    assert len(kept) == 1


def test_where_somebody_owns_the_organization_nobody_is_made(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        other = users.make_user(connection, "boss@example.org", "Boss")
        assert other
        users.make_member(connection, DEFAULT_ORGANIZATION, other, "owner", by="tests")
    assert not ensure_owner(database_url, None, pytest.fail)
    assert hash_of_owner(engine) is None


def test_secrets_are_made_once_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    ensure_secrets(path)
    made = read(path)
    ensure_secrets(path)
    assert read(path).public() == made.public()
    path.write_text("something else")
    with pytest.raises(Fatal, match="cannot be used"):
        ensure_secrets(path)
    assert path.read_text() == "something else"
