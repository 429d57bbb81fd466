"""What to do when a group fails: wait while the database is away, try again, find what is at fault.

Nothing is acknowledged here. A group whose transaction failed has changed nothing, so it can be run again whole, chunk
by chunk, or not at all.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl
import psycopg
import sqlalchemy.exc
import tenacity

from record_processor.attempts import Tries
from record_processor.batch import ChunkInHand
from record_processor.failure import Failure, exhausted, noted
from record_processor.process import Processor, Settled
from record_processor.reactions import WAITS, Reaction, reaction_to, reason_of
from rowstream.errors import RowstreamError
from rowstream.records import RecordType
from rowstream.runtime.logging import get_logger, traced
from rowstream.runtime.metrics import CHUNK_FAILURES

log = get_logger(__name__)

Pause = Callable[[str, float], None]
"""Waits so many seconds, a member of the consumer group all the while, and lets readiness say why; raises `Stopped`
when the service is asked to stop."""

_T = TypeVar("_T")
_PROBE_SECONDS = 0.5
_ANY = (Exception, pl.exceptions.PanicException)
_DATABASE = (sqlalchemy.exc.SQLAlchemyError, psycopg.Error)
_PASSING = (Reaction.WAIT, Reaction.AGAIN)


class Stopped(RowstreamError):
    """The service is asked to stop while it waits; what is in hand is left to the next one."""


def settle(processor: Processor, group: Sequence[ChunkInHand], record_type: RecordType, *, pause: Pause) -> Settled:
    """Work the group, whatever it takes.

    Args:
        processor: Who works it.
        group: Readable chunks of one record type and organization.
        record_type: Theirs.
        pause: Called before something is tried again.

    Raises:
        Stopped: `pause` says so.
    """
    try:
        return patiently(processor, lambda: processor.process(group, record_type), pause)
    except Stopped:
        raise
    except _ANY as error:  # each has a reaction; none ends us
        log.warning("group failed", chunks=len(group), **_told(error))
    parts = [settle_alone(processor, hand, record_type, pause=pause) for hand in group]
    return Settled.of(parts)


def settle_alone(
    processor: Processor, hand: ChunkInHand, record_type: RecordType, *, pause: Pause, tries: Tries | None = None
) -> Settled:
    """Work one readable chunk, each try counted before it is made; give it up after the last.

    Args:
        processor: Who works it.
        hand: The chunk.
        record_type: Its type.
        pause: Called before something is tried again.
        tries: Those before the one that is counted already; None if none is.

    Raises:
        Stopped: `pause` says so.
    """
    tries = tries or begin_try(processor, hand, pause=pause)
    while (settled := without_a_try(processor, hand, tries, pause=pause)) is None:
        try:
            return _work_alone(processor, hand, record_type, tries, pause)
        except Stopped:
            raise
        except _ANY as error:
            _note(processor, hand, error, pause)
            made = tries.before + 1 if tries else 1
            if made < processor.attempts.most:
                pause(reason_of(error), WAITS[Reaction.FAIL](_after(made)))
        tries = begin_try(processor, hand, pause=pause)
    return settled


def _work_alone(
    processor: Processor, hand: ChunkInHand, record_type: RecordType, tries: Tries | None, pause: Pause
) -> Settled:
    settled = patiently(processor, lambda: processor.process_alone(hand, record_type), pause)
    if not settled.results and tries:  # it was dropped, which is no fault of its own
        patiently(processor, lambda: processor.attempts.take_back(hand, tries), pause, whatever=True)
    return settled


def without_a_try(processor: Processor, hand: ChunkInHand, tries: Tries | None, *, pause: Pause) -> Settled | None:
    """What becomes of a chunk that is not to be tried, whatever its body may be; None if it is to be.

    Raises:
        Stopped: `pause` says so.
    """
    if tries is None:
        return Settled(strangers=[hand])
    if tries.settled:
        return patiently(processor, lambda: processor.tell_again([hand]), pause, whatever=True)
    if tries.before >= processor.attempts.most:
        return give_up(processor, hand, exhausted(tries), pause=pause)
    return None


def begin_try(processor: Processor, hand: ChunkInHand, *, pause: Pause) -> Tries | None:
    """Count a try of this chunk before it is made; what it had before, or None if it is of no upload of ours.

    Raises:
        Stopped: `pause` says so.
    """
    return patiently(processor, lambda: processor.attempts.begin(hand), pause, whatever=True)


def give_up(processor: Processor, hand: ChunkInHand, failure: Failure, *, pause: Pause) -> Settled:
    """Record that a chunk stays unprocessed, whatever it takes.

    Raises:
        Stopped: `pause` says so.
    """
    chunk = hand.chunk
    settled = patiently(processor, lambda: processor.give_up(hand, failure), pause, whatever=True)
    if settled.results:
        CHUNK_FAILURES.labels(failure.code).inc()
        log.error(
            "chunk unprocessed",
            upload_id=str(chunk.upload_id),
            chunk_number=chunk.chunk_number,
            code=failure.code,
            reason=failure.reason,
        )
    return settled


def patiently(processor: Processor, call: Callable[[], _T], pause: Pause, *, whatever: bool = False) -> _T:
    """Call again while the database is away or somebody is in the way; or with `whatever` the database says.

    While it is away only a probe is sent, until that is answered.

    Raises:
        Stopped: `pause` says so. Whatever else `call` raises passes.
    """

    def passes(error: BaseException) -> bool:
        return reaction_to(error) in _PASSING or (whatever and isinstance(error, _DATABASE))

    def wait(state: tenacity.RetryCallState) -> float:
        reaction = reaction_to(_error(state))
        return WAITS[reaction if reaction in _PASSING else Reaction.FAIL](state)

    def hold(state: tenacity.RetryCallState) -> None:
        error = _error(state)
        log.warning("waiting for the database", **_told(error))
        pause(reason_of(error), state.upcoming_sleep)
        while reaction_to(error) is Reaction.WAIT and (absence := processor.absence()):
            pause(absence, _PROBE_SECONDS)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(passes), wait=wait, before_sleep=hold, sleep=lambda _: None
    )
    return retrying(call)


def _note(processor: Processor, hand: ChunkInHand, error: BaseException, pause: Pause) -> None:
    chunk = hand.chunk
    log.warning("chunk failed", upload_id=str(chunk.upload_id), chunk_number=chunk.chunk_number, **_told(error))
    patiently(processor, lambda: processor.attempts.note(hand, noted(error)), pause, whatever=True)


def _told(error: BaseException) -> dict[str, str]:
    """What a log says of an error: never its text."""
    reaction = reaction_to(error)
    trace = {} if reaction in _PASSING else traced(error)
    return {"reaction": reaction.value, "reason": reason_of(error), **trace}


def _error(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    return error or RuntimeError("there was no error")


def _after(failures: int) -> tenacity.RetryCallState:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = failures
    return state
