"""One group of chunks, of one record type and organization: one table, one transaction.

Everything that can be decided without the database is decided before the transaction begins. Inside it, in this order:
the lanes are locked, each chunk is judged, duplicates are decided among what is worked, good rows are loaded, then
rejections and the ledger. After COMMIT each chunk has its ledger row, or nothing of it has happened.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from record_processor import dead_letters, ledger
from record_processor.announcements import Accepted, accepted_in
from record_processor.attempts import MOST_TRIES, Attempts
from record_processor.batch import ChunkInHand, texts_of
from record_processor.failure import Failure
from record_processor.ledger import ChunkKey, Verdict
from record_processor.load import load_rejections
from record_processor.load_rows import Loader, LoadWork, load_in_parts
from record_processor.outcome import Work, rejections_of, results_of, unprocessed, work_of
from record_processor.reactions import reason_of
from record_processor.stages import stage
from record_processor.standstill import Standstill, Unfit, using_table_of
from record_processor.validate import validate
from record_processor.zombies import Patience
from rowstream.database import standstills
from rowstream.messages.chunk_result import ChunkResult
from rowstream.records import RecordType
from rowstream.runtime.metrics import CHUNKS_SETTLED
from rowstream.runtime.steps import Step, reached

_PROBE = text("SELECT 1")


@dataclass(frozen=True)
class Settled:
    """What became of a group.

    Attributes:
        results: To be published: of the chunks worked now, and of those that were in the ledger already.
        strangers: Chunks that name no upload of their organization.
        accepted: Records to be announced, of the chunks worked now.
        unannounced: Chunks that were in the ledger already, and whose records are still to be announced.
    """

    results: list[ChunkResult] = field(default_factory=list)
    strangers: list[ChunkInHand] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    unannounced: list[ChunkKey] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Sequence["Settled"]) -> "Settled":
        """What became of all of these."""
        return cls(
            [result for part in parts for result in part.results],
            [hand for part in parts for hand in part.strangers],
            [accepted for part in parts for accepted in part.accepted],
            [key for part in parts for key in part.unannounced],
        )


class Processor:
    """Works groups of chunks; not for use by several threads at once."""

    def __init__(self, engine: Engine, *, patience: Patience, worker: str, tries: int = MOST_TRIES) -> None:
        """`worker` is what the ledger calls this processor; a chunk that is worked alone has so many `tries`."""
        self._engine, self._patience, self._worker = engine, patience, worker
        self._loader = Loader()
        self._replayed = False  # of the last group nothing was to be worked: nor may anything be of the next
        self.attempts = Attempts(engine, most=tries)
        self.standstill = Standstill()

    def absence(self) -> str | None:
        """Why the database does not answer; None if it does. Takes at most as long as a connection may."""
        try:
            with self._engine.connect() as connection:
                connection.execute(_PROBE)
        except SQLAlchemyError as error:
            return reason_of(error)
        return None

    def process(self, group: Sequence[ChunkInHand], record_type: RecordType) -> Settled:
        """Work a group of readable chunks: all of it, or on any error nothing.

        Where their record type's table is not as it should be they are dropped, and what is known of them is told.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg.Error: the database refused something, or is away.
        """
        return self._process(group, record_type, self._loader.load_together)

    def process_alone(self, hand: ChunkInHand, record_type: RecordType) -> Settled:
        """Work one readable chunk; a record that the database refuses is rejected, and the others are loaded.

        Where its record type's table is not as it should be it is dropped.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg.Error: the database refused more than a record, or is away; nothing of
                the chunk has happened.
        """
        return self._process([hand], record_type, load_in_parts)

    def _process(self, group: Sequence[ChunkInHand], record_type: RecordType, load: LoadWork) -> Settled:
        while True:
            looks_first = self._replayed or record_type.name in self.standstill.names
            if looks_first and (settled := self.tell_again(group)):
                return settled
            try:
                return self._transact(group, record_type, load)
            except Unfit as error:
                self.standstill.begin(record_type, error)  # so that the next turn drops them
                standstills.begin(self._engine, record_type.name)

    def _transact(self, group: Sequence[ChunkInHand], record_type: RecordType, load: LoadWork) -> Settled:
        started = time.monotonic()
        with stage("decode"):
            texts = texts_of(group)
        with stage("validate"):
            known = [name for name in record_type.columns if name in texts.columns]
            validated = validate(texts.select("record", *known), record_type)
        with self._engine.connect() as connection, connection.begin() as transaction:
            with self._patience.waiting(connection):
                verdicts = self._judge(connection, group)
                worked = [place for place, verdict in enumerate(verdicts) if verdict is Verdict.WORK]
                work = work_of(group, worked, texts, validated)
                results, accepted = self._work(connection, work, record_type, load, started) if worked else ([], [])
                settled = _settled(connection, group, verdicts, results, accepted)
            with stage("commit"), using_table_of(record_type):
                transaction.commit()
        reached(Step.CHUNKS_COMMITTED)
        self._replayed = not worked
        if worked and self.standstill.end(record_type):
            standstills.end(self._engine, record_type.name)
        _count(group, verdicts)
        return settled

    def _work(
        self, connection: Connection, work: Work, record_type: RecordType, load: LoadWork, started: float
    ) -> tuple[list[ChunkResult], list[Accepted]]:
        began = ledger.transaction_time(connection)
        with using_table_of(record_type):
            errors = load(connection, work, record_type)
        reached(Step.ROWS_COPIED)
        with stage("rejections"):
            rejections = rejections_of(work, errors)
            by_upload = ((work.chunks[place].chunk.upload_id, of_chunk) for place, of_chunk in rejections.items())
            load_rejections(connection, work.chunks[0].chunk.organization_id, by_upload)
        elapsed = int((time.monotonic() - started) * 1000)
        outcomes = results_of(work, rejections, began=began, duration_ms=elapsed, worker=self._worker)
        with stage("ledger"):
            ledger.record(connection, outcomes, announce=record_type.announce)
        reached(Step.LEDGER_WRITTEN)
        return [result for result, _ in outcomes], accepted_in(work, record_type, set(errors))

    def tell_again(self, group: Sequence[ChunkInHand]) -> Settled | None:
        """What is known of chunks of which none is to be worked, without a look at their bodies; None if one is.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        with self._engine.begin() as connection, self._patience.waiting(connection):
            verdicts = self._judge(connection, group)
            if Verdict.WORK in verdicts:
                return None
            settled = _settled(connection, group, verdicts, [], [])
        _count(group, verdicts)
        return settled

    def give_up(self, hand: ChunkInHand, failure: Failure) -> Settled:
        """Write into the ledger that none of the chunk's records has an outcome, so that its lane goes on, and why.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away, or refuses; nothing has happened.
        """
        with self._engine.begin() as connection, self._patience.waiting(connection):
            began = ledger.transaction_time(connection)
            verdicts = self._judge(connection, [hand])
            results: list[ChunkResult] = []
            if verdicts == [Verdict.WORK]:
                results = [unprocessed(hand, began=began, duration_ms=0, worker=self._worker)]
                ledger.record(connection, [(results[0], hand.chunk.digest)])
                dead_letters.keep(connection, results[0], failure)
                CHUNKS_SETTLED.labels(hand.chunk.record_type, "unprocessed").inc()
            return _settled(connection, [hand], verdicts, results, [])

    def _judge(self, connection: Connection, group: Sequence[ChunkInHand]) -> list[Verdict]:
        next_seqs = ledger.lock_lanes(connection, (hand.place for hand in group))
        uploads = ledger.read_uploads(connection, (hand.chunk.upload_id for hand in group))
        redriven = ledger.read_redriven(connection, (hand for hand in group if hand.chunk.attempt > 1))
        verdicts = ledger.judge(group, next_seqs, uploads, redriven, self.standstill.names)
        ledger.report_gaps(connection, _those(group, verdicts, Verdict.GAP))
        return verdicts


def _settled(
    connection: Connection,
    group: Sequence[ChunkInHand],
    verdicts: Sequence[Verdict],
    results: list[ChunkResult],
    accepted: list[Accepted],
) -> Settled:
    done = list(_those(group, verdicts, Verdict.DONE))
    strangers = list(_those(group, verdicts, Verdict.STRANGER))
    results = results + ledger.read_results(connection, done)
    return Settled(results, strangers, accepted, ledger.read_unannounced(connection, done))


def _count(group: Sequence[ChunkInHand], verdicts: Sequence[Verdict]) -> None:
    for hand, verdict in zip(group, verdicts, strict=True):
        CHUNKS_SETTLED.labels(hand.chunk.record_type, verdict.value).inc()


def _those(group: Sequence[ChunkInHand], verdicts: Sequence[Verdict], wanted: Verdict) -> Iterator[ChunkInHand]:
    return (hand for hand, verdict in zip(group, verdicts, strict=True) if verdict is wanted)
