"""What became of each record of the chunks that were worked: its rejection, or its place in the counts. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

import polars as pl

from record_processor.batch import ChunkInHand
from record_processor.duplicates import Beaten, Decided
from record_processor.refusals import refusal
from record_processor.rejections import Rejection, distinct, duplicate, of_cells, of_unparsable
from record_processor.validate import Validated
from rowstream.database.record_tables import declared_columns
from rowstream.messages.chunk_result import ChunkResult
from rowstream.records import CellError, RecordType


@dataclass(frozen=True)
class Work:
    """The part of a group that is worked.

    Attributes:
        chunks: The whole group.
        worked: Which of them are worked, by place.
        texts: `record`, `chunk`, `row_number` and the text cells of the whole group, in the order of `record`.
        good: Of the worked chunks: `record`, the typed and derived columns, `chunk`, `row_number`, and `upload`, the
            upload's rank by id, so that an earlier upload comes first.
        faults: Of the worked chunks: the errors of each bad record.
    """

    chunks: Sequence[ChunkInHand]
    worked: Sequence[int]
    texts: pl.DataFrame
    good: pl.DataFrame
    faults: Mapping[int, tuple[CellError, ...]]


def work_of(chunks: Sequence[ChunkInHand], worked: Sequence[int], texts: pl.DataFrame, validated: Validated) -> Work:
    """Narrow down what was validated of the whole group to the chunks that are worked."""
    good = validated.good
    ranks = {upload_id: rank for rank, upload_id in enumerate(sorted({hand.chunk.upload_id for hand in chunks}))}
    of_chunk = pl.Series("upload", [ranks[hand.chunk.upload_id] for hand in chunks], dtype=pl.UInt32)
    chunk = texts["chunk"].gather(good["record"])
    good = good.with_columns(chunk, texts["row_number"].gather(good["record"]), of_chunk.gather(chunk.cast(pl.UInt32)))
    faults = validated.faults
    if len(worked) < len(chunks):
        good = good.filter(pl.col("chunk").is_in(list(worked)))
        kept = set(worked)
        numbers = texts["chunk"]
        faults = {record: errors for record, errors in faults.items() if numbers[record] in kept}
    return Work(chunks, worked, texts, good, faults)


def rejected(
    work: Work, record_type: RecordType, decided: Decided, beaten: Beaten | None
) -> dict[int, tuple[CellError, ...]]:
    """All errors of each record that could be read and was not loaded, by record."""
    losers = decided.losers if beaten is None else beaten.losers
    errors = dict(work.faults)
    if len(losers):
        firsts = ((record, *_origin(work, winner)) for record, winner in losers.iter_rows())
        errors.update(_duplicates(work, record_type, firsts))
    if beaten is not None and len(beaten.beaten):
        taken = beaten.beaten.select("record", "first_upload", "first_row").iter_rows()
        errors.update(_duplicates(work, record_type, taken))
    return errors


def refusals(
    work: Work, record_type: RecordType, refused: Mapping[int, BaseException]
) -> dict[int, tuple[CellError, ...]]:
    """The error of each record that the database refused, by record."""
    columns = declared_columns(record_type)
    given = [name for name in record_type.columns if name in work.texts.columns]
    return {
        record: (refusal(error, columns, dict(zip(given, work.texts.select(given).row(record), strict=True))),)
        for record, error in refused.items()
    }


def rejections_of(work: Work, errors: Mapping[int, Sequence[CellError]]) -> dict[int, list[Rejection]]:
    """What is stored of the bad records of each worked chunk, by the chunk's place; in row order."""
    by_chunk: dict[int, list[int]] = {place: [] for place in work.worked}
    of_chunk = work.texts["chunk"].to_numpy()
    for record in sorted(errors):
        by_chunk[int(of_chunk[record])].append(record)
    offsets = _offsets(work.chunks)
    return {
        place: sorted(
            (
                *_of_records(work.chunks[place], records, offsets[place], errors),
                *(of_unparsable(SimpleNamespace(**bad)) for bad in work.chunks[place].chunk.rejections),
            ),
            key=lambda rejection: rejection.row_number,
        )
        for place, records in by_chunk.items()
    }


def results_of(
    work: Work, rejections: Mapping[int, Sequence[Rejection]], *, began: datetime, duration_ms: int, worker: str
) -> list[tuple[ChunkResult, bytes]]:
    """The ledger row and digest of each worked chunk."""
    return [
        (
            result(
                work.chunks[place],
                outcome="loaded",
                failed=len(rejections[place]),
                errors_by_code=Counter(rejection.error_code for rejection in rejections[place]),
                began=began,
                duration_ms=duration_ms,
                worker=worker,
            ),
            work.chunks[place].chunk.digest,
        )
        for place in work.worked
    ]


def unprocessed(hand: ChunkInHand, *, began: datetime, duration_ms: int, worker: str) -> ChunkResult:
    """The ledger row of a chunk of which no record has an outcome of its own."""
    return result(
        hand, outcome="unprocessed", failed=0, errors_by_code={}, began=began, duration_ms=duration_ms, worker=worker
    )


def result(
    hand: ChunkInHand,
    *,
    outcome: str,
    failed: int,
    errors_by_code: Mapping[str, int],
    began: datetime,
    duration_ms: int,
    worker: str,
) -> ChunkResult:
    """A chunk's result; the counts add up to its records."""
    chunk = hand.chunk
    loaded = outcome == "loaded"
    return ChunkResult(
        upload_id=chunk.upload_id,
        organization_id=chunk.organization_id,
        attempt=chunk.attempt,
        chunk_number=chunk.chunk_number,
        lane=chunk.lane,
        lane_seq=chunk.lane_seq,
        first_row=chunk.first_row,
        last_row=chunk.last_row,
        records=chunk.record_count,
        outcome=outcome,
        succeeded_records=chunk.record_count - failed if loaded else 0,
        failed_records=failed,
        held_records=0,
        unprocessed_records=0 if loaded else chunk.record_count,
        errors_by_code=dict(errors_by_code),
        started_at=began,
        duration_ms=duration_ms,
        worker=worker,
    )


def _duplicates(
    work: Work, record_type: RecordType, firsts: Iterator[tuple[int, UUID | str, int]]
) -> Iterator[tuple[int, tuple[CellError, ...]]]:
    keys = work.texts.select(pl.col(name).fill_null("") for name in record_type.key)
    for record, first_upload, first_row in firsts:
        yield record, (duplicate(record_type.key, keys.row(record), first_upload, first_row),)


def _origin(work: Work, record: int) -> tuple[UUID, int]:
    return work.chunks[work.texts["chunk"][record]].chunk.upload_id, work.texts["row_number"][record]


def _offsets(chunks: Sequence[ChunkInHand]) -> list[int]:
    offsets, total = [], 0
    for hand in chunks:
        offsets.append(total)
        total += 0 if hand.records is None else hand.records.num_rows
    return offsets


def _of_records(
    hand: ChunkInHand, records: Sequence[int], offset: int, errors: Mapping[int, Sequence[CellError]]
) -> Iterator[Rejection]:
    if not records or hand.records is None:
        return
    headers = distinct([column["header"] for column in hand.chunk.columns])
    bad = hand.records.take([record - offset for record in records])
    row_numbers, *columns = (column.to_pylist() for column in bad.columns)
    for record, row_number, *cells in zip(records, row_numbers, *columns, strict=True):
        yield of_cells(row_number, errors[record], headers, cells)
