"""One group of chunks, of one record type and organization: one table, one transaction.

Everything that can be decided without the database is decided before the transaction begins. Inside it, in this order:
the lanes are locked, each chunk is judged, duplicates are decided among what is worked, good rows are loaded, then
rejections and the ledger. After COMMIT each chunk has its ledger row, or nothing of it has happened.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import polars as pl
from sqlalchemy import Connection, Engine

from record_processor import ledger
from record_processor.announcements import Accepted, accepted_in
from record_processor.batch import ChunkInHand, texts_of
from record_processor.duplicates import Beaten, Decided, first_of_each, lost_to_table
from record_processor.ledger import ChunkKey, Verdict
from record_processor.load import KeyTaken, load_directly, load_rejections, load_through_staging
from record_processor.outcome import Work, rejected, rejections_of, results_of, unprocessed, work_of
from record_processor.validate import Validated, validate
from record_processor.zombies import Patience
from rowstream.messages.chunk_result import ChunkResult
from rowstream.records import RecordType
from rowstream.runtime.metrics import BATCH_STAGE_DURATION, CHUNKS_SETTLED, COLLISIONS
from rowstream.runtime.steps import Step, reached

_REMEMBERED_UPLOADS = 1_000


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

    def __init__(self, engine: Engine, *, patience: Patience, worker: str) -> None:
        """`worker` is what the ledger calls this processor."""
        self._engine, self._patience, self._worker = engine, patience, worker
        self._collided: OrderedDict[UUID, None] = OrderedDict()

    def process(self, group: Sequence[ChunkInHand], record_type: RecordType) -> Settled:
        """Work a group of readable chunks: all of it, or on any error nothing.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg.Error: the database refused something, or is away.
        """
        started = time.monotonic()
        with _stage("decode"):
            texts = texts_of(group)
        with _stage("validate"):
            known = [name for name in record_type.columns if name in texts.columns]
            validated = validate(texts.select("record", *known), record_type)
        with self._engine.connect() as connection, connection.begin() as transaction:
            with self._patience.waiting(connection):
                verdicts, results, accepted = self._in_transaction(
                    connection, group, texts, validated, record_type, started
                )
                settled = _settled(connection, group, verdicts, results, accepted)
            with _stage("commit"):
                transaction.commit()
        reached(Step.CHUNKS_COMMITTED)
        for verdict in verdicts:
            CHUNKS_SETTLED.labels(record_type.name, verdict.value).inc()
        return settled

    def _in_transaction(
        self,
        connection: Connection,
        group: Sequence[ChunkInHand],
        texts: pl.DataFrame,
        validated: Validated,
        record_type: RecordType,
        started: float,
    ) -> tuple[list[Verdict], list[ChunkResult], list[Accepted]]:
        began = ledger.transaction_time(connection)
        with _stage("lock"):
            verdicts = _judge(connection, group)
        worked = [place for place, verdict in enumerate(verdicts) if verdict is Verdict.WORK]
        if not worked:
            return verdicts, [], []
        work = work_of(group, worked, texts, validated)
        decided, beaten = self._load_rows(connection, work, record_type)
        reached(Step.ROWS_COPIED)
        with _stage("rejections"):
            errors = rejected(work, record_type, decided, beaten)
            rejections = rejections_of(work, errors)
            by_upload = ((group[place].chunk.upload_id, of_chunk) for place, of_chunk in rejections.items())
            load_rejections(connection, group[0].chunk.organization_id, by_upload)
        elapsed = int((time.monotonic() - started) * 1000)
        outcomes = results_of(work, rejections, began=began, duration_ms=elapsed, worker=self._worker)
        with _stage("ledger"):
            ledger.record(connection, outcomes, announce=record_type.announce)
        reached(Step.LEDGER_WRITTEN)
        return verdicts, [result for result, _ in outcomes], accepted_in(work, record_type, set(errors))

    def give_up(self, hand: ChunkInHand) -> Settled:
        """Write into the ledger that none of the chunk's records has an outcome, so that its lane goes on."""
        with self._engine.begin() as connection, self._patience.waiting(connection):
            began = ledger.transaction_time(connection)
            verdicts = _judge(connection, [hand])
            results: list[ChunkResult] = []
            if verdicts == [Verdict.WORK]:
                results = [unprocessed(hand, began=began, duration_ms=0, worker=self._worker)]
                ledger.record(connection, [(results[0], hand.chunk.digest)])
                CHUNKS_SETTLED.labels(hand.chunk.record_type, "unprocessed").inc()
            return _settled(connection, [hand], verdicts, results, [])

    def _load_rows(self, connection: Connection, work: Work, record_type: RecordType) -> tuple[Decided, Beaten | None]:
        with _stage("duplicates"):
            decided = first_of_each(work.good, record_type.key, ("upload", "row_number"))
            rows = _with_owner(decided.kept, work)
        uploads = {work.chunks[place].chunk.upload_id for place in work.worked}
        with _stage("load"):
            if not uploads & self._collided.keys():
                try:
                    load_directly(connection, record_type, rows)
                except KeyTaken:
                    self._remember(uploads)
                else:
                    return decided, None
            COLLISIONS.inc()
            losers = load_through_staging(connection, record_type, rows)
        taken = losers.join(
            rows.select("record", "batch_upload_id", "row_number"), on=["batch_upload_id", "row_number"]
        )
        return decided, lost_to_table(decided, taken.select("record", "first_upload", "first_row"))

    def _remember(self, uploads: set[UUID]) -> None:
        self._collided.update(dict.fromkeys(uploads))
        while len(self._collided) > _REMEMBERED_UPLOADS:
            self._collided.popitem(last=False)


def _judge(connection: Connection, group: Sequence[ChunkInHand]) -> list[Verdict]:
    next_seqs = ledger.lock_lanes(connection, (hand.place for hand in group))
    uploads = ledger.read_uploads(connection, (hand.chunk.upload_id for hand in group))
    redriven = ledger.read_redriven(connection, (hand for hand in group if hand.chunk.attempt > 1))
    verdicts = ledger.judge(group, next_seqs, uploads, redriven)
    ledger.report_gaps(connection, _those(group, verdicts, Verdict.GAP))
    return verdicts


def _with_owner(kept: pl.DataFrame, work: Work) -> pl.DataFrame:
    uploads = sorted({hand.chunk.upload_id for hand in work.chunks})
    names = pl.Series("batch_upload_id", [str(upload) for upload in uploads], dtype=pl.String)
    organization = str(work.chunks[0].chunk.organization_id)
    return kept.with_columns(names.gather(kept["upload"]), pl.lit(organization).alias("organization_id"))


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


def _those(group: Sequence[ChunkInHand], verdicts: Sequence[Verdict], wanted: Verdict) -> Iterator[ChunkInHand]:
    return (hand for hand, verdict in zip(group, verdicts, strict=True) if verdict is wanted)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    BATCH_STAGE_DURATION.labels(name).inc(time.monotonic() - started)
