"""No row of another organization is seen, changed, removed or made by the gateway, in whatever table.

What is tested follows from the database's own catalogue, so a new table is tested without a change here. The same
questions are asked with row-level security switched off, table by table: then every verb that the gateway has goes
through, or else they would show nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import dataframely as dy
import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, Table, func, select, text

from rowstream.database.connection import GATEWAY_ROLE, act_for
from rowstream.database.record_tables import bring_up_to_date
from rowstream.records import RecordType
from tests.engines import engine_of
from tests.postgres_versions import every_postgres
from tests.rows import Tenant, fill, reflected, row_for

postgres = every_postgres

SELECT, INSERT, UPDATE, DELETE, MOVE = "SELECT", "INSERT", "UPDATE", "DELETE", "UPDATE of the organization"
SHARED = {
    "alembic_version": "the version of the tables",
    "message_schemas": "the schemas of messages, which hold nothing of anybody",
    "record_type_tables": "which kinds of record there are",
    "partitions_in_work": "positions of the record processors, in which the gateway has no part",
    "sending_hold": "whether splitters may send, in which the gateway has no part",
    "standstills": "which kinds of record cannot be loaded now, in which the gateway has no part",
    "request_nonces": "of keys, in which the gateway has no part",
}


class _Thing(dy.Schema):
    name = dy.String(nullable=False)


THING = RecordType(name="thing", version=1, title="Thing", table="things", schema=_Thing, key=("name",))


@dataclass(frozen=True)
class System:
    """Two organizations with a row in every table; `gateway` acts as the gateway, `owner` may do everything."""

    owner: Engine
    gateway: Engine
    tables: MetaData
    own: Tenant
    other: Tenant

    @contextmanager
    def acting(self) -> Iterator[Connection]:
        """A transaction of the gateway for `own`, of which nothing stays."""
        with self.gateway.connect() as connection:
            act_for(connection, self.own.organization_id)
            yield connection
            connection.rollback()

    def may(self, table: str, verb: str) -> bool:
        """Whether the gateway has been granted a verb on a table, or on some of its columns."""
        whole = select(func.has_table_privilege(GATEWAY_ROLE, table, verb))
        some = select(func.has_any_column_privilege(GATEWAY_ROLE, table, verb))
        with self.owner.connect() as connection:
            granted = connection.execute(whole).scalar_one()
            return bool(granted or (verb != DELETE and connection.execute(some).scalar_one()))


@pytest.fixture
def system(database_url: str) -> Iterator[System]:
    own, other = Tenant(uuid4()), Tenant(uuid4())
    with engine_of(database_url) as owner, engine_of(database_url, role=GATEWAY_ROLE) as gateway:
        with owner.begin() as connection:
            bring_up_to_date(connection, THING)
            tables = reflected(connection)
            fill(connection, tables, [own, other])
        yield System(owner, gateway, tables, own, other)


def test_every_table_is_of_one_organization_or_is_named_here_with_a_reason(system: System) -> None:
    tenants = {table.name for table in tenant_tables(system)}
    assert tenants | set(SHARED) == set(system.tables.tables)
    assert tenants.isdisjoint(SHARED)
    assert {
        "batch_uploads",
        "batch_upload_errors",
        "acts",
        "memberships",
        "users",
        "organizations",
        "things",
    } <= tenants


def test_the_gateway_writes_nothing_that_is_shared_but_schemas(system: System) -> None:
    written = {name for name in SHARED for verb in (INSERT, UPDATE, DELETE) if system.may(name, verb)}
    assert written == {"message_schemas"}


def test_no_row_of_another_organization_is_seen_or_written(system: System) -> None:
    asked = 0
    for table in tenant_tables(system):
        granted = {verb for verb in (SELECT, INSERT, UPDATE, DELETE) if system.may(table.name, verb)}
        assert sees_its_own(system, table) or SELECT not in granted, table.name
        assert let_through(system, table) == set(), table.name
        asked += len(granted)
    assert asked > 40


def test_with_row_security_switched_off_each_verb_goes_through(system: System) -> None:
    for table in tenant_tables(system):
        granted = {verb for verb in (SELECT, INSERT, UPDATE, DELETE) if system.may(table.name, verb)}
        with switched_off(system.owner, table):
            through = let_through(system, table)
        assert granted <= through, table.name
    assert let_through(system, system.tables.tables["batch_uploads"]) == set()


def test_a_gateway_that_names_no_organization_sees_and_writes_nothing(system: System) -> None:
    with system.gateway.connect() as connection:
        for table in tenant_tables(system):
            if system.may(table.name, SELECT):
                assert connection.execute(keys_of(table)).all() == [], table.name
            if system.may(table.name, INSERT):
                with pytest.raises(sqlalchemy.exc.ProgrammingError, match="row-level security"):
                    connection.execute(table.insert().inline().values(**row_for(table, system.own)))
                connection.rollback()


def tenant_tables(system: System) -> list[Table]:
    return [
        table
        for table in system.tables.sorted_tables
        if "organization_id" in table.columns or table.name in {"organizations", "users"}
    ]


def keys_of(table: Table) -> sqlalchemy.Select[tuple[object, ...]]:
    return select(*table.primary_key.columns)


def sees_its_own(system: System, table: Table) -> bool:
    if not system.may(table.name, SELECT):
        return False
    with system.acting() as connection:
        return len(connection.execute(keys_of(table)).all()) == 1


def let_through(system: System, table: Table) -> set[str]:
    """The verbs by which the gateway, acting for one organization, reaches a row of the other one."""
    through = set()
    if system.may(table.name, SELECT):
        with system.acting() as connection:
            seen = connection.execute(keys_of(table)).all()
        if len(seen) > 1:
            through.add(SELECT)
    if column := _updatable(system, table):
        with system.acting() as connection:
            if connection.execute(text(f'UPDATE "{table.name}" SET "{column}" = "{column}"')).rowcount > 1:  # noqa: S608 - names of the catalogue
                through.add(UPDATE)
    if _moves(system, table):
        through.add(MOVE)
    if system.may(table.name, DELETE):
        with system.acting() as connection:
            if connection.execute(table.delete()).rowcount > 1:
                through.add(DELETE)
    if system.may(table.name, INSERT) and _inserts(system, table):
        through.add(INSERT)
    return through


def _inserts(system: System, table: Table) -> bool:
    """Whether a row for the other organization is taken; one for its own must be, or the question is a wrong one."""
    own, others = (table.insert().inline().values(**row_for(table, tenant)) for tenant in (system.own, system.other))
    assert _passes(system, own), table.name
    return _passes(system, others)


def _moves(system: System, table: Table) -> bool:
    """Whether its own row can be given to the other organization."""
    if _updatable(system, table, "organization_id") is None:
        return False
    own = table.update().where(table.c.organization_id == system.own.organization_id)
    return _passes(system, own.values(organization_id=system.other.organization_id))


def _passes(system: System, statement: sqlalchemy.Executable) -> bool:
    """Whether row security lets a statement through; unique and foreign keys are looked at only afterwards."""
    try:
        with system.acting() as connection:
            connection.execute(statement)
    except sqlalchemy.exc.IntegrityError:
        return True
    except sqlalchemy.exc.ProgrammingError as error:
        if "row-level security" not in str(error.orig):
            raise
        return False
    return True


def _updatable(system: System, table: Table, *names: str) -> str | None:
    """A column that the gateway may update, of those named or of all; None if there is none."""
    if table.name == "acts":
        return None  # nobody changes the trail, a trigger sees to it
    with system.owner.connect() as connection:
        for name in names or [column.name for column in table.columns]:
            if name not in table.columns:
                continue
            query = select(func.has_column_privilege(GATEWAY_ROLE, table.name, name, UPDATE))
            if connection.execute(query).scalar_one():
                return name
    return None


@contextmanager
def switched_off(owner: Engine, table: Table) -> Iterator[None]:
    """The table's row-level security is off meanwhile."""
    with owner.begin() as connection:
        connection.execute(text(f'ALTER TABLE "{table.name}" DISABLE ROW LEVEL SECURITY'))
    yield
    with owner.begin() as connection:
        connection.execute(text(f'ALTER TABLE "{table.name}" ENABLE ROW LEVEL SECURITY'))
