"""Whether a database is at this version; apart from what brings it there, which is much to import for a service."""

from sqlalchemy import Connection, text

HEAD = "0001"


def is_migrated(conn: Connection) -> bool:
    """Whether the system's tables are those of this version."""
    if conn.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return False
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
