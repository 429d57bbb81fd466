"""What to do when a group fails: wait while the database is away, try again, find the chunk at fault.

Nothing is acknowledged here. A group whose transaction failed has changed nothing, so it can be run again whole, chunk
by chunk, or not at all.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import polars as pl
import psycopg
import sqlalchemy.exc

from record_processor.batch import ChunkInHand
from record_processor.process import Processor, Settled
from rowstream.database.connection import first_line, is_away
from rowstream.errors import RowstreamError
from rowstream.records import RecordType
from rowstream.runtime.logging import get_logger, traced
from rowstream.runtime.metrics import CHUNK_FAILURES

log = get_logger(__name__)


class Stopped(RowstreamError):
    """The service is asked to stop while it waits; what is in hand is left to the next one."""


class Reaction(Enum):
    """What an error of the database asks for."""

    WAIT = "wait"  # it is away, or has no room: nothing is wrong with the records
    AGAIN = "again"  # another transaction was in the way
    DIVIDE = "divide"  # something in this group is wrong


# SQLSTATEs, whole classes and single ones: connection, resources, an operator's hand, the system; a login that is
# refused, no such database or schema, a stand-by that only reads; a table or column that is not migrated yet, or not
# granted. Nothing of this is in the records, and all of it goes on when a person has mended it.
_AWAY = ("08", "53", "57", "58", "28", "3D", "3F", "25006", "25P03", "42P01", "42703", "42501")
_IN_THE_WAY = ("40", "55P03")


def reaction_to(error: BaseException) -> Reaction:
    """What this error asks for; pure."""
    state = _state(error)
    if state is None:
        return Reaction.WAIT if is_away(error) else Reaction.DIVIDE
    if state.startswith(_IN_THE_WAY):
        return Reaction.AGAIN
    return Reaction.WAIT if state.startswith(_AWAY) else Reaction.DIVIDE


def settle(
    processor: Processor,
    group: Sequence[ChunkInHand],
    record_type: RecordType,
    *,
    pause: Callable[[str], None],
) -> Settled:
    """Work the group, whatever it takes.

    Args:
        processor: Who works it.
        group: Readable chunks of one record type and organization.
        record_type: Theirs.
        pause: Called with a reason before something is tried again; stays a member of the consumer group meanwhile.

    Raises:
        Stopped: `pause` says so.
    """
    while True:
        try:
            return processor.process(group, record_type)
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - each has a reaction; none ends us
            reaction = reaction_to(error)
            trace = traced(error) if reaction is Reaction.DIVIDE else {}
            log.warning("group failed", chunks=len(group), reaction=reaction.value, reason=_reason(error), **trace)
            if reaction is Reaction.DIVIDE:
                return _divide(processor, group, record_type, pause)
            pause(_reason(error))


def give_up(processor: Processor, hand: ChunkInHand, reason: str, *, pause: Callable[[str], None]) -> Settled:
    """Record that a chunk stays unprocessed, whatever it takes.

    Raises:
        Stopped: `pause` says so.
    """
    CHUNK_FAILURES.labels("unreadable" if hand.unreadable else "failed").inc()
    chunk = hand.chunk
    log.error("chunk unprocessed", upload_id=str(chunk.upload_id), chunk_number=chunk.chunk_number, reason=reason)
    while True:
        try:
            return processor.give_up(hand)
        except (sqlalchemy.exc.SQLAlchemyError, psycopg.Error) as error:
            log.warning("chunk not given up yet", upload_id=str(chunk.upload_id), reason=_reason(error))
            pause(_reason(error))


def _divide(
    processor: Processor, group: Sequence[ChunkInHand], record_type: RecordType, pause: Callable[[str], None]
) -> Settled:
    if len(group) == 1:
        return give_up(processor, group[0], "it failed alone", pause=pause)
    parts = [settle(processor, [hand], record_type, pause=pause) for hand in group]
    return Settled.of(parts)


def _state(error: BaseException) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state


def _reason(error: BaseException) -> str:
    """Type and state of an error, never its text: that may hold a cell."""
    cause = getattr(error, "orig", None) or error
    state = _state(error)
    name = type(cause).__name__
    if state is None and isinstance(cause, psycopg.OperationalError):
        return f"{name}: {first_line(cause)}"
    return f"{name} ({state})" if state else name
