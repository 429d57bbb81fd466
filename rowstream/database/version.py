"""Whether a database is at this version; apart from what brings it there, which is much to import for a service."""

from sqlalchemy import Connection, text

HEAD = "0008"


def is_migrated(conn: Connection) -> bool:
    """Whether the system's tables are those of this version, or of a later one: migrations only add.

    So services of two versions work side by side while the newer one is rolled out.
    """
    if conn.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return False
    version: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version is not None and version >= HEAD
