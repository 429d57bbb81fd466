"""Who may see and write what: row security on every tenant table, and the grants that each writer needs, no more."""

import re
from collections.abc import Iterator
from uuid import UUID

import dataframely as dy
import pytest
import sqlalchemy
from sqlalchemy import Engine, text

from rowstream.database.connection import (
    AUDITOR_ROLE,
    GATEWAY_ROLE,
    KEYS_ROLE,
    PROCESSOR_ROLE,
    RELAY_ROLE,
    SPLITTER_ROLE,
)
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.record_tables import bring_up_to_date
from rowstream.database.security import DASHBOARDS, ROLES
from rowstream.records import RecordType
from tests.engines import engine_of
from tests.integration.auditor.scene import Scene, scene_of
from tests.postgres_versions import every_postgres
from tests.servers import make_organization

postgres = every_postgres

SELECT, INSERT, UPDATE, DELETE = "SELECT", "INSERT", "UPDATE", "DELETE"
WRITE = {INSERT, UPDATE, DELETE}
# DESIGN, "States and writers": who writes each table, and how.
WRITERS = {
    "organizations": {},
    "users": {KEYS_ROLE: {INSERT, UPDATE}},
    "memberships": {GATEWAY_ROLE: WRITE},  # and KEYS_ROLE one column, when somebody came
    "api_keys": {GATEWAY_ROLE: {INSERT, UPDATE}},  # and KEYS_ROLE two columns, when and whence it was last used
    "refresh_tokens": {KEYS_ROLE: WRITE},
    "request_nonces": {KEYS_ROLE: {INSERT, DELETE}},
    "acts": {GATEWAY_ROLE: {INSERT}, KEYS_ROLE: {INSERT}},
    "idempotency_keys": {GATEWAY_ROLE: WRITE},
    "multipart_uploads": {GATEWAY_ROLE: {INSERT, UPDATE}},
    "s3_objects_taken": {GATEWAY_ROLE: {INSERT, UPDATE}},
    "sftp_files": {GATEWAY_ROLE: WRITE},
    "batch_uploads": {GATEWAY_ROLE: {INSERT, UPDATE}, AUDITOR_ROLE: {UPDATE}},
    "batch_upload_audit_logs": {AUDITOR_ROLE: {INSERT}},
    "batch_upload_errors": {PROCESSOR_ROLE: WRITE},
    "held_records": {PROCESSOR_ROLE: WRITE},
    "processed_chunks": {PROCESSOR_ROLE: WRITE},
    "upload_splits": {SPLITTER_ROLE: {INSERT, UPDATE}},
    "upload_lanes": {SPLITTER_ROLE: {INSERT}, PROCESSOR_ROLE: {UPDATE}, AUDITOR_ROLE: {UPDATE}},
    "upload_control": {GATEWAY_ROLE: {INSERT, UPDATE}, PROCESSOR_ROLE: {UPDATE}},
    "chunk_attempts": {PROCESSOR_ROLE: WRITE},
    "sending_hold": {},
    "standstills": {PROCESSOR_ROLE: WRITE},
    "partitions_in_work": {PROCESSOR_ROLE: WRITE},
    "dead_letters": {GATEWAY_ROLE: {UPDATE}, SPLITTER_ROLE: {INSERT}, PROCESSOR_ROLE: {INSERT}},
    "outbox": {
        GATEWAY_ROLE: {INSERT},
        SPLITTER_ROLE: {INSERT},
        PROCESSOR_ROLE: {INSERT},
        AUDITOR_ROLE: {INSERT},
        RELAY_ROLE: {UPDATE, DELETE},
    },
    "message_schemas": {role: {INSERT} for role in (GATEWAY_ROLE, SPLITTER_ROLE, PROCESSOR_ROLE, AUDITOR_ROLE)},
    "record_type_tables": {},
    "alembic_version": {},
    "things": {PROCESSOR_ROLE: WRITE},
}


class _Thing(dy.Schema):
    name = dy.String(nullable=False)


THING = RecordType(name="thing", version=1, title="Thing", table="things", schema=_Thing, key=("name",))


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url) as engine:
        with engine.begin() as connection:
            bring_up_to_date(connection, THING)
        yield engine


def tenant_tables(owner: Engine) -> set[str]:
    query = (
        "SELECT table_name FROM information_schema.columns"
        " WHERE column_name = 'organization_id' AND table_schema = 'public'"
    )
    with owner.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def others_tables(owner: Engine) -> set[str]:
    """Tables of record types that are installed here."""
    query = "SELECT table_name FROM record_type_tables WHERE record_type <> 'thing'"
    with owner.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def test_every_tenant_table_has_row_security_a_policy_for_each_grant_and_a_grant(owner: Engine) -> None:
    tables = tenant_tables(owner)
    assert {"batch_uploads", "batch_upload_errors", "outbox", "things"} <= tables
    with owner.connect() as connection:
        for table in tables:
            facts = {"table": table}
            enabled = connection.execute(text("SELECT relrowsecurity FROM pg_class WHERE relname = :table"), facts)
            assert enabled.scalar_one() is True, table
            granted = connection.execute(
                text("SELECT DISTINCT grantee FROM information_schema.role_table_grants WHERE table_name = :table"),
                facts,
            )
            table_owner = connection.execute(
                text("SELECT tableowner FROM pg_tables WHERE tablename = :table"), facts
            ).scalar_one()
            roles = set(granted.scalars()) - {table_owner, "postgres"}
            policies = connection.execute(text("SELECT unnest(roles) FROM pg_policies WHERE tablename = :table"), facts)
            assert roles, table
            assert set(policies.scalars()) == roles, table


def test_the_gateways_policies_show_one_organization_alone(owner: Engine) -> None:
    query = "SELECT tablename, qual, with_check FROM pg_policies WHERE :role = ANY(roles)"
    with owner.connect() as connection:
        rows = connection.execute(text(query), {"role": GATEWAY_ROLE}).all()
    assert rows
    for row in rows:
        whose = "(id = " if row.tablename == "organizations" else "organization_id = "
        assert whose in row.qual, row.tablename
        assert row.tablename == "users" or row.with_check == row.qual, row.tablename  # users are only read


def test_who_may_write_is_who_writes(owner: Engine) -> None:
    with owner.connect() as connection:
        tables = set(sqlalchemy.inspect(owner).get_table_names()) - others_tables(owner)
        assert tables == set(WRITERS)
        found = {
            table: {
                role: granted
                for role in (*ROLES, DASHBOARDS)
                if (granted := {verb for verb in WRITE if _may(connection, role, table, verb)})
            }
            for table in tables
        }
    assert found == WRITERS


def _may(connection: sqlalchemy.Connection, role: str, table: str, verb: str) -> bool:
    query = text("SELECT has_table_privilege(:role, :table, :verb)")
    return bool(connection.execute(query, {"role": role, "table": table, "verb": verb}).scalar_one())


def test_no_role_owns_what_it_need_not(owner: Engine) -> None:
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT tableowner, tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        owned = {row.tablename for row in rows if row.tableowner in ROLES}
        may_create = [
            role
            for role in ROLES
            if connection.execute(
                text("SELECT has_schema_privilege(:role, 'public', 'CREATE')"), {"role": role}
            ).scalar_one()
        ]
    assert owned - others_tables(owner) == {"batch_upload_errors", "held_records", "processed_chunks", "things"}
    assert may_create == []


def test_dashboards_see_how_every_upload_stands_and_no_cell_of_a_record(database_url: str, owner: Engine) -> None:
    with scene_of(database_url) as scene:
        for organization in (DEFAULT_ORGANIZATION, make_organization(database_url, "other")):
            _fill(scene, organization)
    with engine_of(database_url, role=DASHBOARDS) as dashboards, dashboards.connect() as connection:
        assert connection.execute(text("SELECT count(DISTINCT organization_id) FROM batch_uploads")).scalar_one() == 2
        seen = {table for table in tenant_tables(owner) if _may(connection, DASHBOARDS, table, SELECT)}
    assert not seen & {"batch_upload_errors", "held_records", "things", "outbox", "api_keys", *others_tables(owner)}


def test_a_gateway_that_names_no_organization_sees_nothing(database_url: str, owner: Engine) -> None:
    assert owner
    with scene_of(database_url) as scene:
        scene.accept()
    with engine_of(database_url, role=GATEWAY_ROLE) as gateway, gateway.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM batch_uploads")).scalar_one() == 0


def _fill(scene: Scene, organization: UUID) -> None:
    upload = scene.accept(organization=organization)
    scene.note(upload)
    scene.fold(*scene.work(scene.result(upload, 0)))


def test_the_keys_role_reads_who_may_ask_and_nothing_else(owner: Engine) -> None:
    with owner.connect() as connection:
        readable = {table for table in WRITERS if _may(connection, KEYS_ROLE, table, SELECT)}
    assert readable == {"api_keys", "organizations", "users", "memberships", "refresh_tokens", "request_nonces"}


def test_every_role_that_design_names_is_made_without_a_login(owner: Engine) -> None:
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT rolname, rolcanlogin, rolsuper, rolbypassrls FROM pg_roles")).all()
    made = {row.rolname: (row.rolcanlogin, row.rolsuper, row.rolbypassrls) for row in rows}
    assert all(re.fullmatch(r"rowstream_[a-z]+", role) for role in ROLES)
    assert {role: made[role] for role in ROLES} == dict.fromkeys(ROLES, (False, False, False))
