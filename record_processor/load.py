"""Puts rows and rejections into Postgres, by COPY.

Rows go straight into the record type's table, which is as fast as Postgres can be. Only when a key is there already the
batch goes through a staging table and `ON CONFLICT DO NOTHING`, which tells who lost against which row.
"""

import io
import json
from collections.abc import Iterable, Sequence
from uuid import UUID

import polars as pl
import psycopg
from psycopg import sql
from sqlalchemy import Connection

from record_processor.rejections import Rejection
from rowstream.database.connection import driver
from rowstream.database.record_tables import declared_columns
from rowstream.records import RecordType

TAKEN = {"batch_upload_id": pl.String, "row_number": pl.Int64, "first_upload": pl.String, "first_row": pl.Int64}
_OURS = ("organization_id", "batch_upload_id", "row_number")
# Several times in one transaction, where a chunk is loaded in parts.
_STAGING = """
    CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {table}) ON COMMIT DROP;
    ALTER TABLE {staging} ALTER loaded_at DROP NOT NULL;
    DELETE FROM {staging}
"""
_NAMES = "ours.batch_upload_id::text, ours.row_number, first.batch_upload_id::text, first.row_number"
_TAKE_OUT_LOSERS = f"""
    DELETE FROM {{staging}} ours USING {{table}} first
    WHERE ({{our_key}}) = ({{first_key}}) RETURNING {_NAMES}
"""  # noqa: S608 - put together from the constant above
_LOSERS = f"""
    SELECT {_NAMES} FROM {{staging}} ours JOIN {{table}} first USING ({{key}})
    WHERE (first.batch_upload_id, first.row_number) <> (ours.batch_upload_id, ours.row_number)
"""  # noqa: S608 - put together from the constant above


class KeyTaken(Exception):
    """A key of the batch is in the table already; nothing of the batch was loaded."""


class RowsMissing(Exception):
    """Postgres stored another number of rows than it was given, or than lost; the transaction must not be committed."""


def load_directly(connection: Connection, record_type: RecordType, rows: pl.DataFrame) -> None:
    """Copy rows (sorted by key) into the record type's table.

    Args:
        connection: In a transaction, which stays usable whatever happens.
        record_type: Whose table.
        rows: The typed and derived columns, `organization_id`, `batch_upload_id` and `row_number`.

    Raises:
        KeyTaken: a key is there already; use `load_through_staging`.
    """
    try:
        with connection.begin_nested():
            _copy(connection, sql.Identifier(record_type.table), _columns(record_type), rows)
    except psycopg.errors.UniqueViolation as error:
        raise KeyTaken(record_type.table) from error


def load_through_staging(connection: Connection, record_type: RecordType, rows: pl.DataFrame) -> pl.DataFrame:
    """Load the rows whose key is not there yet.

    Returns:
        One line for each row that lost: `batch_upload_id`, `row_number`, and the `first_upload` and `first_row` that
        have its key.

    Raises:
        RowsMissing: a row neither went in nor lost, since the one that it lost against is gone meanwhile.
    """
    columns, key = _columns(record_type), ("organization_id", *record_type.key)
    parts = {
        "table": sql.Identifier(record_type.table),
        "staging": sql.Identifier(f"staging_{record_type.table}"),
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
        "key": sql.SQL(", ").join(map(sql.Identifier, key)),
        "our_key": sql.SQL(", ").join(sql.Identifier("ours", name) for name in key),
        "first_key": sql.SQL(", ").join(sql.Identifier("first", name) for name in key),
    }
    cursor = driver(connection).cursor()
    cursor.execute(sql.SQL(_STAGING).format(**parts))
    _copy(connection, sql.Identifier(f"staging_{record_type.table}"), columns, rows)
    # Whoever has lost already is not offered to the table at all: what a trigger or a constraint would say of a record
    # must not depend on whether the record that came first was in the same batch.
    lost = cursor.execute(sql.SQL(_TAKE_OUT_LOSERS).format(**parts)).fetchall()
    # Only a taken key may make a row lose now; whatever else the table refuses must be an error.
    insert = (
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging} ORDER BY {key} ON CONFLICT ({key}) DO NOTHING"
    )
    inserted = cursor.execute(sql.SQL(insert).format(**parts)).rowcount
    if inserted + len(lost) < rows.height:  # somebody was faster
        lost += cursor.execute(sql.SQL(_LOSERS).format(**parts)).fetchall()
    _expect(inserted + len(lost), rows.height)
    return pl.DataFrame(lost, schema=TAKEN, orient="row")


def load_rejections(
    connection: Connection, organization_id: UUID, rejections: Iterable[tuple[UUID, Sequence[Rejection]]]
) -> None:
    """Copy the rejections of each upload into `batch_upload_errors`."""
    names = "organization_id, batch_upload_id, row_number, error_code, error_message, errors, row_data, raw_text"
    with driver(connection).cursor().copy(f"COPY batch_upload_errors ({names}) FROM STDIN") as copy:
        for upload_id, rejected in rejections:
            for one in rejected:
                copy.write_row(
                    (
                        organization_id,
                        upload_id,
                        one.row_number,
                        one.error_code,
                        one.error_message,
                        json.dumps(one.errors, ensure_ascii=False),
                        None if one.row_data is None else json.dumps(one.row_data, ensure_ascii=False),
                        one.raw_text,
                    )
                )


def _columns(record_type: RecordType) -> tuple[str, ...]:
    return *declared_columns(record_type), *_OURS


def _copy(connection: Connection, table: sql.Identifier, columns: Sequence[str], rows: pl.DataFrame) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    text = io.BytesIO()
    rows.select(columns).write_csv(text, include_header=False)
    cursor = driver(connection).cursor()
    with cursor.copy(statement) as copy:
        copy.write(text.getbuffer())
    _expect(cursor.rowcount, rows.height)


def _expect(stored: int, given: int) -> None:
    if stored != given:
        raise RowsMissing(f"{given} rows were given, {stored} are accounted for")
