"""Makes a row for any table of the database, whatever columns it has: what new tables hold is tested without a change.

A value follows from its column: the first word that a check allows, the parent's key where it refers to one, and
otherwise something new of its type.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy
from sqlalchemy import CheckConstraint, Column, Connection, MetaData, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

_numbers: Iterator[int] = count(1_000)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tenant:
    """An organization, and its row in each table by the table's name."""

    organization_id: UUID
    rows: dict[str, Row] = field(default_factory=dict)


def reflected(connection: Connection) -> MetaData:
    """The tables as they are in the database."""
    found = MetaData()
    found.reflect(connection)
    return found


def fill(connection: Connection, tables: MetaData, tenants: list[Tenant]) -> None:
    """Give each tenant a row in every table of `tables` that may have one."""
    for table in tables.sorted_tables:
        if table.name in {"alembic_version", "record_type_tables", "message_schemas"}:
            continue
        for tenant in tenants:
            tenant.rows[table.name] = row = row_for(table, tenant)
            connection.execute(table.insert().values(**row))


def row_for(table: Table, tenant: Tenant) -> Row:
    """A row of a tenant that the table takes, with a key that it does not hold yet."""
    return {column.name: _value(column, tenant) for column in table.columns if _is_given(column)}


def _is_given(column: Column[Any]) -> bool:
    refers = bool(column.foreign_keys)
    return refers or column.name.endswith("organization_id") or not (column.nullable or column.server_default)


def _value(column: Column[Any], tenant: Tenant) -> Any:
    if column.name == "organization_id" or (column.table.name, column.name) == ("organizations", "id"):
        return tenant.organization_id
    for key in column.foreign_keys:
        return tenant.rows[key.column.table.name][key.column.name]
    return _allowed(column) or _new(column.type)


def _allowed(column: Column[Any]) -> str | None:
    """The first word that a check of the column allows; None if none does."""
    checks = (check for check in column.table.constraints if isinstance(check, CheckConstraint))
    said = (str(check.sqltext) for check in checks)
    words = (re.findall(r"'(\w+)'::text", text) for text in said if re.match(rf"\(*{column.name}\b", text))
    return next((str(found[0]) for found in words if found), None)


_NEW: tuple[tuple[type[sqlalchemy.types.TypeEngine[Any]], Callable[[], Any]], ...] = (
    (sqlalchemy.UUID, uuid4),
    (sqlalchemy.Boolean, bool),
    (sqlalchemy.Integer, lambda: next(_numbers)),
    (sqlalchemy.Numeric, lambda: next(_numbers)),
    (sqlalchemy.Date, lambda: datetime.now(UTC).date()),
    (sqlalchemy.DateTime, lambda: datetime.now(UTC)),
    (sqlalchemy.LargeBinary, lambda: uuid4().bytes),
    (JSONB, dict),
    (ARRAY, list),
    (sqlalchemy.String, lambda: f"text {uuid4()}"),
)


def _new(type_: sqlalchemy.types.TypeEngine[Any]) -> Any:
    for known, make in _NEW:
        if isinstance(type_, known):
            return make()
    raise AssertionError(f"nobody has said what goes into a column of type {type_!r}")
