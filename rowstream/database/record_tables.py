"""A record type's table, made and extended from its declaration; only additive changes, the version recorded.

What somebody took away by hand, a table, a column or its owner, is made again as well.
"""

from datetime import date, datetime

import dataframely as dy
import polars as pl
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from rowstream.database.connection import GATEWAY_ROLE, PROCESSOR_ROLE
from rowstream.database.security import own, protect
from rowstream.errors import Fatal
from rowstream.records import RecordType

OWN_COLUMNS = ("organization_id", "batch_upload_id", "row_number", "loaded_at")


def sql_type(column: dy.Column) -> str:
    """The Postgres type of a declared column.

    Raises:
        Fatal: there is none for it.
    """
    dtype = column.dtype
    if dtype.is_integer():
        return "bigint"
    if dtype.is_float():
        return "double precision"
    if isinstance(dtype, pl.Decimal):
        return f"numeric({dtype.precision},{dtype.scale})" if dtype.precision else "numeric"
    plain = {str: "text", bool: "boolean", date: "date", datetime: "timestamptz"}
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return "text"
    name = plain.get(dtype.to_python())
    if name is None:
        raise Fatal(f"a column of type {dtype} has no place in Postgres; use text, numbers, booleans, dates or times")
    return name


def declared_columns(record_type: RecordType) -> dict[str, dy.Column]:
    """The table's typed columns, in order: the declared ones, then the derived."""
    derived = {name: derived.column for name, derived in record_type.derived.items()}
    return {**record_type.schema.columns(), **derived}


def bring_up_to_date(conn: Connection, record_type: RecordType) -> None:
    """Make the record type's table, or add the columns that its new version declares.

    Raises:
        Fatal: the declaration changed in a way that is not additive; names the change.
    """
    columns = {name: sql_type(column) for name, column in declared_columns(record_type).items()}
    row = conn.execute(
        text("SELECT table_name, columns FROM record_type_tables WHERE record_type = :name"), {"name": record_type.name}
    ).one_or_none()
    if row is None:
        _create(conn, record_type, columns)
    else:
        _extend(conn, record_type, columns, row.table_name, row.columns)
    record = text(
        "INSERT INTO record_type_tables (record_type, table_name, version, columns)"
        " VALUES (:name, :table, :version, :columns) ON CONFLICT (record_type)"
        " DO UPDATE SET version = excluded.version, columns = excluded.columns, migrated_at = clock_timestamp()"
    ).bindparams(bindparam("columns", type_=JSONB))
    facts = {"name": record_type.name, "table": record_type.table, "version": record_type.version, "columns": columns}
    conn.execute(record, facts)


def lacking(conn: Connection, record_type: RecordType) -> str | None:
    """What stands in the way of loading into the record type's table, in words; None if nothing does.

    Only what `bring_up_to_date` mends; a login that sees the system's own tables may ask.
    """
    table, found = record_type.table, _columns_of(conn, record_type.table)
    if not found:
        return f"record type {record_type.name}: there is no table {table}"
    if missing := [name for name in (*declared_columns(record_type), *OWN_COLUMNS) if name not in found]:
        return f"record type {record_type.name}: table {table} lacks {', '.join(missing)}"
    if (owner := _owner_of(conn, table)) != PROCESSOR_ROLE:
        return f"record type {record_type.name}: table {table} is {owner}'s and not {PROCESSOR_ROLE}'s"
    return None


def find_rows_by_upload(conn: Connection) -> None:
    """Let the rest of this transaction find an upload's rows by their index and not by reading the whole table.

    The planner takes the index for useless, since it does not know that rows of one upload lie together.
    """
    conn.execute(text("SET LOCAL enable_seqscan = off"))


def _create(conn: Connection, record_type: RecordType, columns: dict[str, str]) -> None:
    if conn.execute(text("SELECT to_regclass(:name)"), {"name": f'"{record_type.table}"'}).scalar() is not None:
        raise Fatal(
            f"record type {record_type.name}: there is a table {record_type.table} already that rowstream did not make;"
            " rename one of the two"
        )
    required = {*record_type.required, *record_type.key}
    typed = [f'"{name}" {kind}{" NOT NULL" if name in required else ""}' for name, kind in columns.items()]
    key = ", ".join(f'"{name}"' for name in record_type.key)
    table = record_type.table
    body = [
        "organization_id uuid NOT NULL",
        *typed,
        "batch_upload_id uuid NOT NULL",
        "row_number bigint NOT NULL",
        "loaded_at timestamptz NOT NULL DEFAULT now()",
        f"PRIMARY KEY (organization_id, {key})",
    ]
    conn.execute(text(f'CREATE TABLE "{table}" ({", ".join(body)})'))
    conn.execute(text(f'CREATE INDEX ON "{table}" USING brin (batch_upload_id, row_number)'))
    for statement in protect(table, {GATEWAY_ROLE: "SELECT"}, owner=PROCESSOR_ROLE):
        conn.execute(text(statement))


def _extend(
    conn: Connection, record_type: RecordType, columns: dict[str, str], table: str, before: dict[str, str]
) -> None:
    for name, kind in before.items():
        if columns.get(name) != kind:
            other = columns.get(name, "nothing")
            raise Fatal(
                f"record type {record_type.name}: column {name} was {kind} and is now {other}; only new columns can be"
                " added. Give the changed type another name and table, or migrate the table by hand"
            )
    if table != record_type.table:
        raise Fatal(f"record type {record_type.name}: its table was {table} and is now {record_type.table}")
    if not (found := _columns_of(conn, table)):
        _create(conn, record_type, columns)
        return
    key = _key_of(conn, table)
    if key != ("organization_id", *record_type.key):
        raise Fatal(
            f"record type {record_type.name}: its key was {', '.join(key[1:])} and is now {', '.join(record_type.key)};"
            " give the changed type another name and table"
        )
    _add(conn, record_type, {name: kind for name, kind in columns.items() if name not in found}, before)
    for name in sorted((_never_null(conn, table) & columns.keys()) - {*record_type.required, *record_type.key}):
        conn.execute(text(f'ALTER TABLE "{table}" ALTER COLUMN "{name}" DROP NOT NULL'))
    if _owner_of(conn, table) != PROCESSOR_ROLE:
        for statement in own(table, PROCESSOR_ROLE):
            conn.execute(text(statement))


def _add(conn: Connection, record_type: RecordType, columns: dict[str, str], before: dict[str, str]) -> None:
    table = record_type.table
    for name, kind in columns.items():
        if name in record_type.required and name in before:
            raise Fatal(
                f"record type {record_type.name}: column {name} of table {table} is gone, and it is never empty; put it"
                " back by hand, with its values"
            )
        if name in record_type.required:
            raise Fatal(f"record type {record_type.name}: new column {name} must be nullable, since rows exist already")
        conn.execute(text(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {kind}'))


def _columns_of(conn: Connection, table: str) -> set[str]:
    """Its columns' names; none where there is no such table."""
    query = text(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    )
    return set(conn.execute(query, {"name": f'"{table}"'}).scalars())


def _owner_of(conn: Connection, table: str) -> str:
    query = text("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(:name)")
    owner: str = conn.execute(query, {"name": f'"{table}"'}).scalar_one()
    return owner


def _key_of(conn: Connection, table: str) -> tuple[str, ...]:
    query = text(
        "SELECT a.attname FROM pg_index i JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) ON true"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        " WHERE i.indisprimary AND i.indrelid = to_regclass(:name) ORDER BY k.place"
    )
    return tuple(conn.execute(query, {"name": f'"{table}"'}).scalars())


def _never_null(conn: Connection, table: str) -> set[str]:
    query = text("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnotnull AND attnum > 0")
    return set(conn.execute(query, {"name": f'"{table}"'}).scalars())
