"""What a record is told that the database refused alone: `DB_001`, with the column or constraint. Pure.

Never with the database's own text: it may show other records, and what a trigger puts into it nobody knows.
"""

import re
from collections.abc import Collection, Mapping

from record_processor.reactions import sqlstate_of, words_for
from rowstream.records import CellError
from rowstream.records.errors import capped

_NAME_CHARS = 63  # as many as Postgres allows
_COLUMN_IN_CONTEXT = re.compile(r"^COPY [^,]+, line \d+, column ([^:,]+)")


def refusal(error: BaseException, columns: Collection[str], cells: Mapping[str, str | None]) -> CellError:
    """The error of a record that the database refused.

    Args:
        error: The database's, as raised.
        columns: The table's own, which may be named.
        cells: The record's texts, by column, where its file has the column.
    """
    state = sqlstate_of(error) or "XX000"
    diagnosis = getattr(getattr(error, "orig", None) or error, "diag", None)
    column = _column(diagnosis, columns)
    constraint = getattr(diagnosis, "constraint_name", None)
    about = [words_for(state)]
    if column:
        about.append(f"column {column}")
    if constraint:
        about.append(f"constraint {capped(constraint, _NAME_CHARS)}")
    message = f"the database refused this record: {', '.join(about)} (SQLSTATE {state})"
    value = cells.get(column) if column else None
    return CellError(column or "", "DB_001", message, None if value is None else capped(value))


def _column(diagnosis: object, columns: Collection[str]) -> str | None:
    named = getattr(diagnosis, "column_name", None)
    if named is None:
        found = _COLUMN_IN_CONTEXT.match(getattr(diagnosis, "context", None) or "")
        named = found[1].strip('"') if found else None
    return named if named in columns else None
