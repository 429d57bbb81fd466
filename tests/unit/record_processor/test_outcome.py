"""What became of each record, from what was decided: rejections, counts, ledger rows."""

from datetime import UTC, datetime
from uuid import UUID

import polars as pl

from record_processor.batch import ChunkInHand, read, texts_of
from record_processor.duplicates import first_of_each, lost_to_table
from record_processor.outcome import Work, rejected, rejections_of, results_of, unprocessed, work_of
from record_processor.validate import validate
from rowstream.messages.record_chunk import RecordChunk
from tests.uploads import MEMBERS, chunks_of, csv_of, member, received

FIRST, SECOND = UUID(int=1), UUID(int=2)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FILE = csv_of([member(1), member(2, work_hours="x"), "bad", member(1), member(3), member(1, member_email="no")])


class NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        """Nothing is registered: every schema is ours."""


def work(chunks: list[RecordChunk], worked: list[int]) -> Work:
    hands: list[ChunkInHand] = [read(received(chunk), NoSchemas()) for chunk in chunks]
    texts = texts_of(hands)
    return work_of(hands, worked, texts, validate(texts.drop("chunk", "row_number"), MEMBERS))


def test_only_what_is_worked_is_judged() -> None:
    chunks = chunks_of(FILE, FIRST, chunk_records=2)  # rows 2 3, 4 5, 6 7
    everything = work(chunks, [0, 1, 2])
    assert everything.good["row_number"].to_list() == [2, 5, 6]
    assert {everything.texts["row_number"][record] for record in everything.faults} == {3, 7}
    part = work(chunks, [1, 2])
    assert part.good["row_number"].to_list() == [5, 6]
    assert {part.texts["row_number"][record] for record in part.faults} == {7}
    # Row 5 repeats row 2, which is not worked now: here it is the first.
    assert first_of_each(part.good, MEMBERS.key, ("upload", "row_number")).losers.height == 0


def test_an_earlier_upload_comes_first_in_whatever_order_they_arrive() -> None:
    chunks = [*chunks_of(csv_of([member(9), member(1)]), SECOND), *chunks_of(csv_of([member(1)]), FIRST)]
    both = work(chunks, [0, 1])
    assert both.good.select("upload", "row_number").rows() == [(1, 2), (1, 3), (0, 2)]
    kept, losers = first_of_each(both.good, MEMBERS.key, ("upload", "row_number"))
    (loser,) = losers["record"].to_list()
    assert both.texts["row_number"][loser] == 3
    (error,) = rejected(both, MEMBERS, first_of_each(both.good, MEMBERS.key, ("upload", "row_number")), None)[loser]
    assert f"row 2 of upload {FIRST}" in error.message
    assert kept.height == 2


def test_rejections_are_in_row_order_and_counted_by_code() -> None:
    (chunk,) = chunks_of(FILE, FIRST)
    done = work([chunk], [0])
    winners = first_of_each(done.good, MEMBERS.key, ("upload", "row_number"))
    rejections = rejections_of(done, rejected(done, MEMBERS, winners, None))
    assert [(one.row_number, one.error_code) for one in rejections[0]] == [
        (3, "VAL_005"), (4, "VAL_006"), (5, "DUP_001"), (7, "VAL_003"),
    ]  # fmt: skip
    duplicate = rejections[0][2]
    assert duplicate.row_data is not None
    assert duplicate.row_data["note"] == 'said "1", left'
    ((result, digest),) = results_of(done, rejections, began=BEGAN, duration_ms=5, worker="w")
    assert (result.records, result.succeeded_records, result.failed_records) == (6, 2, 4)
    assert result.errors_by_code == {"VAL_005": 1, "VAL_006": 1, "DUP_001": 1, "VAL_003": 1}
    assert (result.outcome, result.unprocessed_records, result.worker, digest) == ("loaded", 0, "w", chunk.digest)


def test_who_lost_to_the_table_is_rejected_with_its_heirs() -> None:
    (chunk,) = chunks_of(FILE, FIRST)
    done = work([chunk], [0])
    winners = first_of_each(done.good, MEMBERS.key, ("upload", "row_number"))
    taken = pl.DataFrame(
        {"record": [0], "first_upload": [str(SECOND)], "first_row": [77]}, schema_overrides={"record": pl.Int64}
    )
    errors = rejected(done, MEMBERS, winners, lost_to_table(winners, taken))
    named = {done.texts["row_number"][record]: found[0].message for record, found in errors.items()}
    assert f"row 77 of upload {SECOND}" in named[2]
    assert f"row 77 of upload {SECOND}" in named[5]


def test_chunks_of_nothing_but_bad_lines_have_their_results() -> None:
    chunks = chunks_of(csv_of(["a", "b", member(1)]), FIRST, chunk_records=1)
    done = work(chunks, [0, 1, 2])
    winners = first_of_each(done.good, MEMBERS.key, ("upload", "row_number"))
    rejections = rejections_of(done, rejected(done, MEMBERS, winners, None))
    results = [result for result, _ in results_of(done, rejections, began=BEGAN, duration_ms=0, worker="w")]
    assert [(result.first_row, result.succeeded_records, result.failed_records) for result in results] == [
        (2, 0, 1), (3, 0, 1), (4, 1, 0),
    ]  # fmt: skip


def test_an_unprocessed_chunk_has_no_outcome_for_any_record() -> None:
    (chunk,) = chunks_of(FILE, FIRST)
    result = unprocessed(read(received(chunk), NoSchemas()), began=BEGAN, duration_ms=0, worker="w")
    counts = (result.records, result.succeeded_records, result.failed_records, result.unprocessed_records)
    assert (result.outcome, counts, result.errors_by_code) == ("unprocessed", (6, 0, 0, 6), {})
