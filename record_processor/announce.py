"""Announces accepted records, at least once each: after their commit, and again where that may not have happened.

A ledger row says whether its records are still due (`announced_at` is null). They are announced from memory right after
the commit; from the table when a chunk comes again that is done but due; and by a sweep, which finds what a processor
left behind that died in between, whoever it was. A chunk whose records cannot be announced is left out of the sweep for
longer and longer, so that all others' are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import sqlalchemy.exc
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from record_processor import ledger
from record_processor.announcements import Accepted, Event, events
from record_processor.backoff import Backoff
from record_processor.ledger import ChunkKey
from record_processor.reactions import Reaction, concerns_a_table, concerns_everybody, reaction_to, reason_of
from rowstream.database.connection import driver
from rowstream.database.record_tables import declared_columns, find_rows_by_upload
from rowstream.errors import Retryable
from rowstream.kafka.delivery import deliver
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.topics import records_topic
from rowstream.messages.envelope import Envelope
from rowstream.records import RecordType, registry
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import ANNOUNCEMENTS, LATE_ANNOUNCEMENTS
from rowstream.runtime.steps import Step, reached

log = get_logger(__name__)

Pause = Callable[[str], None]
_SOURCE = "record_processor"
_ANY = (Exception, pl.exceptions.PanicException)
_AT_ONCE = 5_000  # records, so that neither they nor their messages fill the memory
_CHUNKS = 64  # that a sweep takes in one transaction
_LONGEST_OF_A_TYPE = 30.0  # seconds that all chunks of a type are left out, whose table or topic is away
_DUE = """
    SELECT c.batch_upload_id AS upload_id, c.organization_id, c.chunk_number, c.attempt, c.first_row, c.last_row,
           u.record_type, u.correlation_id, u.traceparent
    FROM processed_chunks c JOIN batch_uploads u ON u.id = c.batch_upload_id
    WHERE c.announced_at IS NULL AND u.record_type = ANY(:types) AND {which}
    AND NOT EXISTS (
        SELECT FROM unnest(CAST(:left_uploads AS uuid[]), CAST(:left_chunks AS bigint[])) AS left_out (upload, chunk)
        WHERE left_out.upload = c.batch_upload_id AND left_out.chunk = c.chunk_number
    )
    ORDER BY c.batch_upload_id, c.attempt, c.first_row LIMIT :at_most
    FOR UPDATE OF c SKIP LOCKED
"""
_OVERDUE = text(
    _DUE.format(
        which="c.started_at + (c.duration_ms * interval '1 millisecond')"
        " < clock_timestamp() - make_interval(secs => :seconds)"
    )
)
_THESE = text(
    _DUE.format(
        which="(c.batch_upload_id, c.chunk_number) IN"
        " (SELECT * FROM unnest(CAST(:uploads AS uuid[]), CAST(:chunks AS bigint[])))"
    )
)
_ROWS = "SELECT row_number, {} FROM {} WHERE batch_upload_id = %s AND row_number BETWEEN %s AND %s"
_LIMIT_WAITING = text("SET LOCAL lock_timeout = '5s'")


class Announcer:
    """Announces, and notes it in the ledger; not for use by several threads at once."""

    def __init__(self, engine: Engine, producer: Producer) -> None:
        """`engine` acts as the processor's role; `producer` is used by the announcer's thread alone."""
        self._engine, self._producer = engine, producer
        self._failing: Backoff[ChunkKey] = Backoff()
        self._failing_types: Backoff[str] = Backoff(longest_seconds=_LONGEST_OF_A_TYPE)

    def announce(self, accepted: Sequence[Accepted], causes: Mapping[UUID, Envelope], *, pause: Pause) -> None:
        """Announce records that were committed just now, and note it; waits until the broker has said it has them.

        If it cannot be noted, a sweep announces them again.

        Args:
            accepted: The records.
            causes: By upload, the envelope of a message that brought some of them.
            pause: Called with a reason before anything is tried again; ends this by raising.
        """
        for one in accepted:
            self._tell(one, causes[one.upload_id], pause)
            ANNOUNCEMENTS.labels(one.record_type.name).inc(one.rows.height)
        keys = [(one.upload_id, number) for one in accepted for number in one.chunks]
        if keys:
            reached(Step.RECORDS_ANNOUNCED)
            self._patiently(partial(self._note, keys), pause)

    def announce_again(self, keys: Sequence[ChunkKey], *, pause: Pause) -> None:
        """Announce the records of chunks that came again and are still due, from the table."""
        if keys:
            self._patiently(lambda: self._from_table(_THESE, _these(keys)), pause)

    def sweep(self, *, after_seconds: float) -> int:
        """Announce some of the chunks that were committed long ago and are still due; returns how many.

        Where they cannot be announced together they are one by one, and what fails alone is left for later.

        Raises:
            Retryable: the broker does not take one; it stays due.
            sqlalchemy.exc.DBAPIError: the database is away; the same.
        """
        uploads, chunks = _apart(self._failing.left_out())
        overdue = {
            "seconds": after_seconds,
            "at_most": _CHUNKS,
            "left_uploads": uploads,
            "left_chunks": chunks,
            "types": sorted(registry.record_types().keys() - self._failing_types.left_out()),
        }
        try:
            return self._from_table(_OVERDUE, overdue)
        except _ANY as error:
            if concerns_everybody(error):
                raise
            log.warning("announcing chunk by chunk", reason=_reason(error))
        with self._engine.begin() as connection:
            due = connection.execute(_OVERDUE, overdue).all()
        return sum(self._announce_alone(chunk) for chunk in due)

    def _announce_alone(self, chunk: Any) -> int:
        """Announce one chunk, if that can be; else it is left out for a while, or all of its type if that is at fault.

        Raises:
            Retryable: the broker does not take it.
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        key, record_type = (chunk.upload_id, chunk.chunk_number), chunk.record_type
        if record_type in self._failing_types.left_out():
            return 0
        try:
            announced = self._from_table(_THESE, _these([key]))
        except _ANY as error:
            if concerns_everybody(error):
                raise
            why = _reason(error)
            is_of_type = isinstance(error, Retryable) or concerns_a_table(error)
            pause = self._failing_types.failed(record_type, why) if is_of_type else self._failing.failed(key, why)
            log.warning(
                "records not announced for now",
                upload_id=str(chunk.upload_id),
                chunk_number=chunk.chunk_number,
                record_type=record_type,
                reason=why,
                again_in_seconds=pause,
                whole_type=is_of_type,
            )
            if isinstance(error, Retryable):
                raise
            return 0
        self._failing.done(key)
        self._failing_types.done(record_type)
        return announced

    def _from_table(self, query: sqlalchemy.TextClause, facts: Mapping[str, object]) -> int:
        known = registry.record_types()
        with self._engine.begin() as connection:
            connection.execute(_LIMIT_WAITING)
            due = connection.execute(query, {"types": list(known), **facts}).all()
            for first, last, chunk in merged(due):
                self._tell_rows(connection, known[chunk.record_type], chunk, first, last)
            if due:
                reached(Step.RECORDS_ANNOUNCED)
                ledger.mark_announced(connection, [(chunk.upload_id, chunk.chunk_number) for chunk in due])
        return len(due)

    def _tell_rows(self, connection: Connection, record_type: RecordType, chunk: Any, first: int, last: int) -> None:
        if not record_type.announce:
            return  # it was announced under an earlier version
        cause = Envelope.new(
            "sweep",
            source=_SOURCE,
            organization_id=chunk.organization_id,
            correlation_id=chunk.correlation_id,
            traceparent=chunk.traceparent,
        )
        records = 0
        for rows in _stored(connection, record_type, chunk.upload_id, first, last):
            accepted = Accepted(record_type, chunk.upload_id, chunk.organization_id, chunk.attempt, rows, ())
            self._tell(accepted, cause, _give_up)
            records += rows.height
        LATE_ANNOUNCEMENTS.labels(record_type.name).inc(records)
        upload = str(chunk.upload_id)
        log.warning("records announced late", upload_id=upload, first_row=first, last_row=last, records=records)

    def _tell(self, accepted: Accepted, cause: Envelope, pause: Pause) -> None:
        topic = records_topic(accepted.record_type.name)
        headers = cause.next("record_accepted", source=_SOURCE).headers()
        for rows in accepted.rows.iter_slices(_AT_ONCE):
            one = Accepted(
                accepted.record_type, accepted.upload_id, accepted.organization_id, accepted.attempt, rows, ()
            )
            deliver(self._producer, (partial(self._send, topic, headers, event) for event in events(one)), pause=pause)

    def _send(self, topic: str, headers: Mapping[str, str], event: Event, on_delivery: OnDelivery) -> None:
        own = {**headers, "ce_id": event.id}
        self._producer.send(topic, event.value, key=event.key, headers=own, on_delivery=on_delivery)

    def _note(self, keys: Iterable[ChunkKey]) -> None:
        with self._engine.begin() as connection:
            connection.execute(_LIMIT_WAITING)
            ledger.mark_announced(connection, keys)

    def _patiently(self, work: Callable[[], object], pause: Pause) -> None:
        while True:
            try:
                work()
            except Retryable as error:
                pause(str(error))
            except (sqlalchemy.exc.SQLAlchemyError, psycopg.Error) as error:
                if not concerns_everybody(error) and reaction_to(error) is not Reaction.AGAIN:
                    log.warning("announcements left to the sweep", reason=reason_of(error))
                    return
                pause(f"the database does not answer: {reason_of(error)}")
            else:
                return


def _these(keys: Sequence[ChunkKey]) -> dict[str, object]:
    uploads, chunks = _apart(keys)
    return {"uploads": uploads, "chunks": chunks, "at_most": len(keys), "left_uploads": [], "left_chunks": []}


def _apart(keys: Iterable[ChunkKey]) -> tuple[list[UUID], list[int]]:
    keys = list(keys)
    return [upload for upload, _ in keys], [chunk for _, chunk in keys]


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, Retryable) else reason_of(error)


def merged(chunks: Iterable[Any]) -> Iterator[tuple[int, int, Any]]:
    """The ranges of row numbers that the chunks cover, first, last and one of its chunks; pure.

    Chunks of several lanes lie across each other; merged, no row is read twice for them. They come by upload, attempt
    and first row.
    """
    first, last, chunk = 0, 0, None
    for one in chunks:
        if chunk and (one.upload_id, one.attempt) == (chunk.upload_id, chunk.attempt) and one.first_row <= last + 1:
            last = max(last, one.last_row)
            continue
        if chunk:
            yield first, last, chunk
        first, last, chunk = one.first_row, one.last_row, one
    if chunk:
        yield first, last, chunk


def _stored(
    connection: Connection, record_type: RecordType, upload_id: UUID, first: int, last: int
) -> Iterator[pl.DataFrame]:
    """The upload's rows in a range, some thousands at a time, in any order."""
    columns = declared_columns(record_type)
    schema = {"row_number": pl.Int64(), **{name: column.dtype for name, column in columns.items()}}
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL(_ROWS).format(names, sql.Identifier(record_type.table))
    find_rows_by_upload(connection)
    with driver(connection).cursor(name="stored") as cursor:
        cursor.execute(query, (upload_id, first, last))
        while rows := cursor.fetchmany(_AT_ONCE):
            yield pl.DataFrame(rows, schema=schema, orient="row")


def _give_up(reason: str) -> None:
    raise Retryable(reason)
