"""What an error asks for, and how long to wait before the same is tried again: one policy a category. Pure.

| reaction | what it was | what follows | costs a try |
|---|---|---|---|
| `WAIT` | the database is away, has no room, or is not as it should be | a probe until it answers, then again | no |
| `AGAIN` | another transaction was in the way | again, soon | no |
| `DIVIDE` | the database refuses a record | the record is found by halving the chunk | |
| `FAIL` | anything else | again after a while, a few times; then the chunk stays unprocessed | yes |

Of these a missing table, column or grant asks for something else where it is the record type's own (`standstill`).
"""

import re
from enum import Enum

import psycopg
import tenacity
from tenacity.wait import wait_base

from rowstream.database.connection import first_line, is_away


class Reaction(Enum):
    """What an error asks for."""

    WAIT = "wait"
    AGAIN = "again"
    DIVIDE = "divide"
    FAIL = "fail"


# A table or column that is not there, not migrated yet, or not granted.
_OF_A_TABLE = ("42P01", "42703", "42501", "3F000")
# SQLSTATEs, whole classes and single ones: connection, resources, an operator's hand (but not the end of one query, as
# of one that took too long), the system; a login that is refused, no such database or schema, a stand-by that only
# reads; our own tables. Nothing of this is in the records, and all of it goes on when a person has mended it.
_AWAY = ("08", "53", "57P", "58", "28", "3D", "3F", "25006", "25P03", *_OF_A_TABLE)
_IN_THE_WAY = ("40", "55P03")
# Data, constraints, views' checks, what triggers and functions raise, and limits that one value can pass (an index
# entry that is too long): a record alone may be the cause.
_REFUSED = ("22", "23", "44", "09", "27", "38", "39", "P0", "54")

WAITS: dict[Reaction, wait_base] = {
    Reaction.WAIT: tenacity.wait_exponential_jitter(multiplier=0.2, max=1.0, jitter=0.3),
    Reaction.AGAIN: tenacity.wait_exponential_jitter(multiplier=0.02, max=1.0, jitter=0.1),
    Reaction.FAIL: tenacity.wait_exponential_jitter(multiplier=0.5, max=8.0, jitter=0.5),
}
"""How long to wait after the n-th error in a row, by what it asks for."""


def reaction_to(error: BaseException) -> Reaction:
    """What this error asks for."""
    state = sqlstate_of(error)
    if state is None:
        return Reaction.WAIT if is_away(error) else Reaction.FAIL
    for states, reaction in (
        (_IN_THE_WAY, Reaction.AGAIN),
        (_AWAY, Reaction.WAIT),
        (_REFUSED, Reaction.DIVIDE),
    ):
        if state.startswith(states):
            return reaction
    return Reaction.FAIL


def concerns_a_table(error: BaseException) -> bool:
    """Whether something about a table is missing: what else needs that table waits for it, and nobody else has to."""
    return (sqlstate_of(error) or "") in _OF_A_TABLE


def concerns_everybody(error: BaseException) -> bool:
    """Whether the database itself is away or has no room, so that nothing else would go better."""
    return reaction_to(error) is Reaction.WAIT and not concerns_a_table(error)


def code_of(error: BaseException) -> str:
    """The error code of a chunk that is given up on after this error."""
    return "UNK_001" if sqlstate_of(error) is None else "DB_002"


def reason_of(error: BaseException) -> str:
    """Type and state of an error, never its text: that may hold a cell."""
    cause = getattr(error, "orig", None) or error
    state = sqlstate_of(error)
    name = type(cause).__name__
    if state is None and isinstance(cause, psycopg.OperationalError):
        return f"{name}: {first_line(cause)}"
    return f"{name} ({state})" if state else name


def words_for(sqlstate: str) -> str:
    """What a state means, in words: `check violation`; the state itself where it has no name."""
    try:
        name = psycopg.errors.lookup(sqlstate).__name__
    except KeyError:
        return f"error {sqlstate}"
    return " ".join(re.findall("[A-Z][a-z]*", name)).lower()


def sqlstate_of(error: BaseException) -> str | None:
    """The state that the database gave its error, or None if it is none of the database's."""
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state
