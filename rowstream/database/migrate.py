"""Brings a database to the state that this version needs: the system's tables, then each record type's."""

from importlib.resources import as_file, files

import alembic.command
import alembic.config
from sqlalchemy import Connection, text

from rowstream.database import connection
from rowstream.database.record_tables import bring_up_to_date
from rowstream.database.version import HEAD, is_migrated
from rowstream.records import RecordType

__all__ = ["HEAD", "is_migrated", "migrate"]

_ONE_AT_A_TIME = 0x726F7773  # an advisory lock: two that migrate at once take turns


def migrate(url: str, record_types: list[RecordType]) -> None:
    """Make or extend everything in the database at `url`; doing it twice changes nothing.

    The login must be able to create roles and tables.

    Raises:
        Retryable: the database does not answer.
        Fatal: a record type asks for a change that is not additive; names it.
    """
    engine = connection.make_engine(url, service="migrate", pool_size=1)
    try:
        with connection.retryable_errors(), engine.begin() as conn:
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
            _upgrade(conn)
            for record_type in record_types:
                bring_up_to_date(conn, record_type)
    finally:
        engine.dispose()


def _upgrade(conn: Connection) -> None:
    with as_file(files("rowstream.database").joinpath("migrations")) as folder:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = conn
        alembic.command.upgrade(config, "head")
