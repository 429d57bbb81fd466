"""What everything is measured against: psql's \\copy into the same table definition, with the same indexes."""

import subprocess
import time
from pathlib import Path

import psycopg

from rowstream.stack.postgres import programs

_TABLE = "copy_baseline"
_ORGANIZATION = "0198c0de-0000-7000-8000-000000000001"
_PREPARE = (
    f"DROP TABLE IF EXISTS {_TABLE}",
    f"CREATE TABLE {_TABLE} (LIKE member_certifications INCLUDING ALL)",
    f"ALTER TABLE {_TABLE} ALTER organization_id SET DEFAULT '{_ORGANIZATION}'",
    f"ALTER TABLE {_TABLE} ALTER batch_upload_id SET DEFAULT '{_ORGANIZATION}'",
    f"ALTER TABLE {_TABLE} ALTER row_number SET DEFAULT 0",
    "CHECKPOINT",
)


def copy_seconds(database: str, clean: Path) -> float:
    """How long \\copy of the clean lines takes."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in _PREPARE:
            connection.execute(statement.encode())
        columns = clean.open().readline().strip()
        psql = programs() / "psql"
        started = time.monotonic()
        command = f"\\copy {_TABLE} ({columns}) from '{clean}' csv header"
        subprocess.run([psql, "-X", "-q", "-d", database, "-c", command], check=True)
        seconds = time.monotonic() - started
        connection.execute(f"DROP TABLE {_TABLE}".encode())
    return seconds


def empty_tables(database: str) -> None:
    """Take out all rows and rejections, so that every run begins alike."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE member_certifications, batch_upload_errors")
        connection.execute("CHECKPOINT")
