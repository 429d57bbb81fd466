"""The migrations make exactly the tables that the code queries, twice as well as once."""

from collections.abc import Iterator
from importlib.resources import as_file, files

import alembic.autogenerate
import alembic.command
import alembic.config
import alembic.migration
import dataframely as dy
import pytest
import sqlalchemy
from sqlalchemy import Engine, text

from rowstream.database.catalogue import metadata
from rowstream.database.migrate import migrate
from rowstream.database.record_tables import OWN_COLUMNS
from rowstream.database.version import HEAD, is_migrated
from rowstream.errors import Fatal, Retryable
from rowstream.records import RecordType
from tests.engines import engine_of
from tests.postgres_versions import every_postgres
from tests.servers import Postgres, free_port

postgres = every_postgres


class _Thing(dy.Schema):
    name = dy.String(nullable=False)
    size = dy.Int64(nullable=True)


class _ThingWithColor(_Thing):
    color = dy.String(nullable=True)


def thing(schema: type[dy.Schema] = _Thing, *, version: int = 1, table: str = "things") -> RecordType:
    return RecordType(name="thing", version=version, title="Thing", table=table, schema=schema, key=("name",))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url) as engine:
        yield engine


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    with postgres.fresh_database() as url:
        with engine_of(url) as engine, engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        yield url


def columns_of(engine: Engine, table: str) -> dict[str, str]:
    return {column["name"]: str(column["type"]) for column in sqlalchemy.inspect(engine).get_columns(table)}


def test_the_tables_are_those_that_the_code_queries(engine: Engine) -> None:
    with engine.connect() as connection:
        record_tables = set(connection.execute(text("SELECT table_name FROM record_type_tables")).scalars())
        context = alembic.migration.MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, kind, _: kind != "table" or name not in record_tables,
            },
        )
        assert alembic.autogenerate.compare_metadata(context, metadata) == []


def test_columns_say_the_same_of_themselves_in_both_places(engine: Engine) -> None:
    found = sqlalchemy.inspect(engine)
    for table in metadata.tables.values():
        comments = {column["name"]: column["comment"] for column in found.get_columns(table.name)}
        assert comments == {column.name: column.comment for column in table.columns}, table.name


def test_checks_are_the_same_in_both_places(engine: Engine) -> None:
    found = sqlalchemy.inspect(engine)
    for table in metadata.tables.values():
        everything = [*table.constraints, *(one for column in table.columns for one in column.constraints)]
        declared = {check.name for check in everything if isinstance(check, sqlalchemy.CheckConstraint)}
        assert {check["name"] for check in found.get_check_constraints(table.name)} == declared, table.name


def test_an_empty_database_is_not_migrated_and_then_is(empty_url: str) -> None:
    with engine_of(empty_url) as engine:
        with engine.connect() as connection:
            assert not is_migrated(connection)
        for _ in range(2):
            migrate(empty_url, [thing()])
        with engine.connect() as connection:
            assert is_migrated(connection)
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == HEAD
            rows = connection.execute(text("SELECT record_type, table_name, version FROM record_type_tables")).all()
    assert [tuple(row) for row in rows] == [("thing", "things", 1)]


def test_members_of_before_have_come_and_names_of_before_stay(empty_url: str) -> None:
    with engine_of(empty_url) as engine:
        with engine.begin() as connection, as_file(files("rowstream.database").joinpath("migrations")) as folder:
            config = alembic.config.Config()
            config.set_main_option("script_location", str(folder))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "0005")
            connection.execute(text("INSERT INTO users (id, email, name) VALUES (gen_random_uuid(), 'a@b', 'Ann')"))
            connection.execute(
                text("INSERT INTO organizations (id, name) SELECT gen_random_uuid(), unnest('{Acme,ACME}'::text[])")
            )
            connection.execute(
                text(
                    "INSERT INTO memberships (organization_id, user_id, role, created_by)"
                    " SELECT organizations.id, users.id, 'owner', 'tests' FROM organizations, users"
                )
            )
        migrate(empty_url, [])
        with engine.begin() as connection:
            came = text("SELECT count(*) FROM memberships WHERE accepted_at = created_at AND name IS NULL")
            assert connection.execute(came).scalar_one() == 2
            connection.execute(text("UPDATE organizations SET name = 'Acme Ltd' WHERE name = 'ACME'"))
        for statement in (
            "UPDATE organizations SET name = 'ACME LTD' WHERE name = 'Acme'",
            "INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), 'acme')",
        ):
            with pytest.raises(sqlalchemy.exc.IntegrityError, match="organizations_name_key"), engine.begin() as other:
                other.execute(text(statement))


def test_a_record_type_gets_a_typed_table_with_its_key(database_url: str, engine: Engine) -> None:
    migrate(database_url, [thing()])
    assert columns_of(engine, "things") == {
        "organization_id": "UUID",
        "name": "TEXT",
        "size": "BIGINT",
        "batch_upload_id": "UUID",
        "row_number": "BIGINT",
        "loaded_at": "TIMESTAMP",
    }
    assert set(OWN_COLUMNS) < set(columns_of(engine, "things"))
    assert sqlalchemy.inspect(engine).get_pk_constraint("things")["constrained_columns"] == ["organization_id", "name"]


def test_a_new_version_may_add_columns(database_url: str, engine: Engine) -> None:
    migrate(database_url, [thing()])
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO things (organization_id, name, batch_upload_id, row_number)"
                " SELECT id, 'a', gen_random_uuid(), 2 FROM organizations"
            )
        )
    migrate(database_url, [thing(_ThingWithColor, version=2)])
    assert columns_of(engine, "things")["color"] == "TEXT"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name, color FROM things")).all() == [("a", None)]
        assert (
            connection.execute(text("SELECT version FROM record_type_tables WHERE record_type = 'thing'")).scalar() == 2
        )


class _ThingOfNumbers(dy.Schema):
    name = dy.Int64(nullable=False)
    size = dy.Int64(nullable=True)


class _ThingWithMust(_Thing):
    color = dy.String(nullable=False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param(thing(_ThingOfNumbers, version=2), "column name was text and is now bigint", id="another type"),
        pytest.param(thing(_ThingWithMust, version=2), "color must be nullable", id="a new column that must be there"),
        pytest.param(thing(version=2, table="objects"), "table was things and is now objects", id="another table"),
    ],
)
def test_any_other_change_is_refused_and_changes_nothing(
    database_url: str, engine: Engine, changed: RecordType, words: str
) -> None:
    migrate(database_url, [thing()])
    before = columns_of(engine, "things")
    with pytest.raises(Fatal, match=words):
        migrate(database_url, [changed])
    assert columns_of(engine, "things") == before


def test_a_database_that_does_not_answer_may_do_so_later() -> None:
    with pytest.raises(Retryable, match="the database does not answer"):
        migrate(f"postgresql://postgres@127.0.0.1:{free_port()}/x", [])


@pytest.mark.parametrize(("version", "is_enough"), [("0001", False), (HEAD, True), ("9999", True)])
def test_a_later_database_serves_an_earlier_service(engine: Engine, version: str, *, is_enough: bool) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        assert is_migrated(connection) is is_enough
