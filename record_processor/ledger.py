"""The ledger: which chunk comes next in its lane, and what became of each.

A chunk's ledger row is written in the transaction that writes its rows and rejections, under a lock on its lane; so a
chunk that is delivered twice, to whichever processor, is worked once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from record_processor.batch import ChunkInHand
from rowstream.database.tables import batch_uploads, chunk_attempts, processed_chunks, upload_control, upload_lanes
from rowstream.messages.chunk_result import ChunkResult

CLOSED = ("failed", "cancelled")
Place = tuple[UUID, int]
ChunkKey = tuple[UUID, int]
"""Upload and chunk number."""
_SHARED = tuple(field.name for field in fields(ChunkResult) if field.name != "upload_id")


class Verdict(Enum):
    """What is to be done with a chunk."""

    WORK = "work"
    DONE = "done"  # it is in the ledger: its result is published again
    GAP = "gap"  # something before it is missing: dropped, and the splitter is told
    DROP = "drop"  # its upload wants nothing now
    STRANGER = "stranger"  # it names no upload of its organization


class LedgerDisagrees(Exception):
    """What was worked and what the ledger takes are not the same; the transaction must not be committed."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """What the database says of an upload that decides whether its chunks are worked."""

    organization_id: UUID
    attempt: int
    status: str
    requested: str
    record_type: str


def lock_lanes(connection: Connection, places: Iterable[Place]) -> dict[Place, int]:
    """Lock the lanes, in an order that all processors follow, and say which sequence number each waits for."""
    lanes = upload_lanes.c
    query = (
        select(lanes.batch_upload_id, lanes.lane, lanes.next_seq)
        .where(tuple_(lanes.batch_upload_id, lanes.lane).in_(sorted(set(places))))
        .order_by(lanes.batch_upload_id, lanes.lane)
        .with_for_update()
    )
    return {(row.batch_upload_id, row.lane): row.next_seq for row in connection.execute(query)}


def read_uploads(connection: Connection, upload_ids: Iterable[UUID]) -> dict[UUID, UploadState]:
    """The state of each upload; without a lock, since only the end of an upload closes its lanes."""
    uploads, control = batch_uploads.c, upload_control.c
    query = (
        select(
            uploads.id,
            uploads.organization_id,
            uploads.attempt,
            uploads.status,
            control.requested,
            uploads.record_type,
        )
        .outerjoin(upload_control, control.batch_upload_id == uploads.id)
        .where(uploads.id.in_(set(upload_ids)))
    )
    return {
        row.id: UploadState(row.organization_id, row.attempt, row.status, row.requested or "run", row.record_type)
        for row in connection.execute(query)
    }


def read_redriven(connection: Connection, chunks: Iterable[ChunkInHand]) -> set[tuple[UUID, int]]:
    """Of these chunks the ones that the ledger has as unprocessed, by an earlier attempt."""
    attempts = {(hand.chunk.upload_id, hand.chunk.chunk_number): hand.chunk.attempt for hand in chunks}
    if not attempts:
        return set()
    ledger = processed_chunks.c
    query = select(ledger.batch_upload_id, ledger.chunk_number, ledger.attempt).where(
        tuple_(ledger.batch_upload_id, ledger.chunk_number).in_(sorted(attempts)), ledger.outcome == "unprocessed"
    )
    rows = connection.execute(query).all()
    return {
        (row.batch_upload_id, row.chunk_number)
        for row in rows
        if row.attempt < attempts[row.batch_upload_id, row.chunk_number]
    }


def judge(
    chunks: Sequence[ChunkInHand],
    next_seqs: Mapping[Place, int],
    uploads: Mapping[UUID, UploadState],
    redriven: set[tuple[UUID, int]],
    standing: Collection[str] = (),
) -> list[Verdict]:
    """What is to be done with each chunk, in order; pure.

    A chunk is worked once: if it is next in its lane, or redriven. Several of one lane are worked if they follow each
    other. The same chunk twice in the list is worked the first time. Of record types that stand still (`standing`) none
    is worked, and what is behind such a one is behind no gap: nothing was lost.
    """
    expected = dict(next_seqs)
    again = set(redriven)
    verdicts = []
    for hand in chunks:
        verdict = _judge(hand, expected, uploads, again, standing)
        if verdict is Verdict.WORK:
            again.discard((hand.chunk.upload_id, hand.chunk.chunk_number))
            expected[hand.place] = max(expected[hand.place], hand.chunk.lane_seq + 1)
        verdicts.append(verdict)
    return verdicts


def _judge(
    hand: ChunkInHand,
    expected: Mapping[Place, int],
    uploads: Mapping[UUID, UploadState],
    redriven: set[tuple[UUID, int]],
    standing: Collection[str],
) -> Verdict:
    chunk, upload = hand.chunk, uploads.get(hand.chunk.upload_id)
    if upload is None or upload.organization_id != chunk.organization_id or hand.place not in expected:
        return Verdict.STRANGER
    if chunk.attempt < upload.attempt or upload.status in CLOSED or upload.requested != "run":
        return Verdict.DROP
    distance = chunk.lane_seq - expected[hand.place]
    is_redriven = (chunk.upload_id, chunk.chunk_number) in redriven
    if distance < 0 and not is_redriven:
        return Verdict.DONE
    if upload.record_type in standing or chunk.record_type in standing:
        return Verdict.DROP
    return Verdict.WORK if distance == 0 or is_redriven else Verdict.GAP


def report_gaps(connection: Connection, chunks: Iterable[ChunkInHand]) -> None:
    """Tell the splitter that something before these chunks was lost, by the epoch under which they were sent."""
    rows = [
        {"b_upload": hand.chunk.upload_id, "b_lane": hand.chunk.lane, "b_epoch": hand.chunk.epoch} for hand in chunks
    ]
    if rows:
        lanes = upload_lanes.c
        statement = (
            update(upload_lanes)
            .where(lanes.batch_upload_id == bindparam("b_upload"), lanes.lane == bindparam("b_lane"))
            .values(gap_epoch=func.greatest(lanes.gap_epoch, bindparam("b_epoch")))
        )
        connection.execute(statement, rows)


def record(connection: Connection, outcomes: Sequence[tuple[ChunkResult, bytes]], *, announce: bool = False) -> None:
    """Write the ledger rows of these chunks (with their digests), and let their lanes wait for what follows.

    With `announce`, those that have accepted records say that these are still to be announced.
    """
    rows = [_row(result, digest, announce=announce) for result, digest in outcomes]
    # Values apart from the statement: one that names each row's would be put together anew for every batch.
    statement, ledger = insert(processed_chunks), processed_chunks.c
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in ("batch_upload_id", "chunk_number")}
    written = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[ledger.batch_upload_id, ledger.chunk_number],
            set_=replaced,
            where=(ledger.outcome == "unprocessed") & (ledger.attempt < statement.excluded.attempt),
        ),
        rows,
        execution_options={"preserve_rowcount": True},  # SQLAlchemy keeps an INSERT's count only on request
    ).rowcount
    if written != len(rows):
        raise LedgerDisagrees(f"{len(rows)} chunks were worked, {written} ledger rows were written")
    # Their tries are over, whoever counted some.
    chunk = tuple_(chunk_attempts.c.batch_upload_id, chunk_attempts.c.chunk_number)
    settled = [(result.upload_id, result.chunk_number) for result, _ in outcomes]
    connection.execute(delete(chunk_attempts).where(chunk.in_(settled)))
    reached: dict[Place, int] = {}
    for result, _ in outcomes:
        place = result.upload_id, result.lane
        reached[place] = max(reached.get(place, 0), result.lane_seq + 1)
    lanes = upload_lanes.c
    move = (
        update(upload_lanes)
        .where(lanes.batch_upload_id == bindparam("b_upload"), lanes.lane == bindparam("b_lane"))
        .values(next_seq=func.greatest(lanes.next_seq, bindparam("b_next")))
    )
    connection.execute(
        move, [{"b_upload": upload, "b_lane": lane, "b_next": seq} for (upload, lane), seq in sorted(reached.items())]
    )


def read_results(connection: Connection, chunks: Iterable[ChunkInHand]) -> list[ChunkResult]:
    """The results of chunks that the ledger has, to be published again."""
    keys = {(hand.chunk.upload_id, hand.chunk.chunk_number) for hand in chunks}
    if not keys:
        return []
    ledger = processed_chunks.c
    query = select(processed_chunks).where(tuple_(ledger.batch_upload_id, ledger.chunk_number).in_(sorted(keys)))
    return [
        ChunkResult(upload_id=row["batch_upload_id"], **{name: row[name] for name in _SHARED})
        for row in connection.execute(query).mappings()
    ]


def read_unannounced(connection: Connection, chunks: Iterable[ChunkInHand]) -> list[ChunkKey]:
    """Of these chunks the ones that the ledger has, and whose accepted records are still to be announced."""
    keys = {(hand.chunk.upload_id, hand.chunk.chunk_number) for hand in chunks}
    if not keys:
        return []
    ledger = processed_chunks.c
    query = select(ledger.batch_upload_id, ledger.chunk_number).where(
        tuple_(ledger.batch_upload_id, ledger.chunk_number).in_(sorted(keys)), ledger.announced_at.is_(None)
    )
    return [(row.batch_upload_id, row.chunk_number) for row in connection.execute(query)]


def mark_announced(connection: Connection, keys: Iterable[ChunkKey]) -> None:
    """Note that the accepted records of these chunks were announced."""
    ledger = processed_chunks.c
    statement = update(processed_chunks).values(announced_at=func.clock_timestamp())
    connection.execute(
        statement.where(
            tuple_(ledger.batch_upload_id, ledger.chunk_number).in_(sorted(set(keys))), ledger.announced_at.is_(None)
        )
    )


def transaction_time(connection: Connection) -> datetime:
    """When this transaction began, by the database's clock."""
    moment: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return moment


def _row(result: ChunkResult, digest: bytes, *, announce: bool) -> dict[str, object]:
    due = announce and result.succeeded_records > 0
    further = {"digest": digest, "announced_at": None if due else result.started_at}
    return {"batch_upload_id": result.upload_id, **further} | {name: getattr(result, name) for name in _SHARED}
