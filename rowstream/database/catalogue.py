"""All tables together, for those who compare or describe them."""

from rowstream.database import access_tables, arrival_tables, tables
from rowstream.database.columns import metadata

__all__ = ["access_tables", "arrival_tables", "metadata", "tables"]
