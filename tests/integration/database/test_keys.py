"""`rowstream key` on a real database: what it makes is valid at once, shown once, and ends when it is revoked."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from rowstream.database.access_tables import api_keys
from rowstream.database.keys import DEFAULT_ORGANIZATION, holder_of, key_hash
from rowstream.ids import new_id
from tests import servers
from tests.engines import engine_of
from tests.servers import make_organization
from tests.unit.cli.support import Result, run


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url, pool_size=1) as engine:
        yield engine


def keys(url: str, *arguments: str) -> Result:
    return run("key", *arguments, ROWSTREAM_DATABASE__URL=url)


def listed(url: str) -> dict[str, str]:
    return {key["id"]: key["state"] for key in json.loads(keys(url, "list", "--json").out)["items"]}


def test_a_key_is_shown_once_and_stored_as_its_hash(database_url: str, engine: Engine) -> None:
    made = keys(database_url, "create", "nightly export")
    key = made.out.strip()
    assert (made.code, made.out.count("\n")) == (0, 1)
    with engine.connect() as connection:
        holder = holder_of(connection, key)
        assert holder
        assert (holder.organization_id, holder.name) == (DEFAULT_ORGANIZATION, "nightly export")
        row = connection.execute(select(api_keys)).one()
    assert row.key_hash == key_hash(key)
    assert key not in str(row)
    shown = keys(database_url, "list")
    assert key not in shown.out
    assert key not in made.err
    assert str(row.id) in made.err
    assert [line.split()[0] for line in shown.out.splitlines()] == ["id", str(row.id)]
    assert re.search(r"  valid  .*  never +never +is sent +as an operator +nightly export\n$", shown.out)


def test_a_revoked_key_is_refused_from_then_on(database_url: str, engine: Engine) -> None:
    first, second = (json.loads(keys(database_url, "create", "same name", "--json").out) for _ in range(2))
    revoked = keys(database_url, "revoke", first["id"])
    assert (revoked.code, revoked.out) == (0, f"same name ({first['id']}) is revoked\n")
    with engine.connect() as connection:
        assert holder_of(connection, first["key"]) is None
        holder = holder_of(connection, second["key"])
        assert holder
        assert (holder.organization_id, holder.name) == (DEFAULT_ORGANIZATION, "same name")
        ended = connection.execute(select(api_keys.c.revoked_at).where(api_keys.c.id == first["id"])).scalar()
    assert keys(database_url, "revoke", first["id"]).code == 0
    with engine.connect() as connection:
        query = select(api_keys.c.revoked_at).where(api_keys.c.id == first["id"])
        assert connection.execute(query).scalar() == ended
    assert listed(database_url) == {first["id"]: "revoked", second["id"]: "valid"}


def test_a_key_may_end_by_itself(database_url: str, engine: Engine) -> None:
    before = datetime.now(UTC)
    made = json.loads(keys(database_url, "create", "for a week", "--days", "7", "--json").out)
    assert datetime.fromisoformat(made["expires_at"]) - before >= timedelta(days=7)
    assert listed(database_url) == {made["id"]: "valid"}
    with engine.begin() as connection:
        connection.execute(update(api_keys).values(expires_at=func.now()))
    assert listed(database_url) == {made["id"]: "expired"}
    with engine.connect() as connection:
        assert holder_of(connection, made["key"]) is None


def test_other_organizations_keys_are_neither_shown_nor_ended(database_url: str, engine: Engine) -> None:
    theirs, organization = new_id(), make_organization(database_url, "others")
    with engine.begin() as connection:
        values = {"id": theirs, "organization_id": organization, "name": "theirs", "key_hash": key_hash("x")}
        connection.execute(api_keys.insert().values(**values))
    assert listed(database_url) == {}
    refused = keys(database_url, "revoke", str(theirs))
    assert (refused.code, refused.out) == (1, "")
    with engine.connect() as connection:
        assert connection.execute(select(api_keys.c.revoked_at)).scalar_one() is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", " "], 2, "a key needs a name"),
        (["create", "x", "--days", "0"], 2, "--days"),
        (["revoke", "x"], 2, "'x' is no id of a key; `rowstream key list` shows them"),
        (["revoke", "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"], 1, "there is no key 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], code: int, said: str, database_url: str) -> None:
    refused = keys(database_url, *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err
    assert listed(database_url) == {}


def test_a_database_without_tables_is_said(postgres: servers.Postgres) -> None:
    refused = keys(postgres.url("postgres"), "list")
    assert refused.code == 1
    assert "run `rowstream migrate` first" in refused.err
