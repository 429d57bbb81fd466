"""Which record types stand still, since their table cannot be used: the processors say so, the splitters heed it.

It ends by itself: a processor that said so may die, or never be asked about this type again.
"""

from sqlalchemy import ColumnElement, Engine, exists, func, text

from rowstream.database.tables import standstills

SECONDS = 30.0
"""For how long one is believed: longer than a splitter waits before it sends again what stands still."""

_BEGIN = text("""
    INSERT INTO standstills (record_type, until) VALUES (:name, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (record_type) DO UPDATE SET until = excluded.until
""")
_END = text("DELETE FROM standstills WHERE record_type = :name")
TAKES_PART = """
    NOT EXISTS (SELECT FROM standstills t WHERE t.record_type = w.record_type AND t.until > clock_timestamp())
"""
"""For a splitter's query over uploads that wait (`w`): whether its record type does not stand still."""


def begin(engine: Engine, record_type: str) -> None:
    """A chunk of this type could not be worked just now."""
    with engine.begin() as connection:
        connection.execute(_BEGIN, {"name": record_type, "seconds": SECONDS})


def end(engine: Engine, record_type: str) -> None:
    """A chunk of this type was worked."""
    with engine.begin() as connection:
        connection.execute(_END, {"name": record_type})


def stands_still(record_type: str) -> ColumnElement[bool]:
    """For a query: whether this type stands still now."""
    columns = standstills.c
    return exists().where(columns.record_type == record_type, columns.until > func.clock_timestamp())
