"""One transaction: rows, rejections and ledger of a group of chunks, in a real Postgres."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import dataframely as dy
import psycopg
import pytest

from record_processor.batch import ChunkInHand, read
from record_processor.failure import unreadable
from record_processor.ledger import LedgerDisagrees
from record_processor.load import RowsMissing
from record_processor.process import Processor, Settled
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.record_tables import bring_up_to_date
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.record_chunk import RecordChunk
from rowstream.records import RecordType
from tests.postgres_versions import every_postgres
from tests.servers import make_organization
from tests.uploads import HEADER, MEMBERS, Uploads, again, chunks_of, csv_of, member, members, received

postgres = every_postgres


class NoSchemas:
    def find(self, fingerprint: bytes) -> None:
        """Nothing is registered: every schema is ours."""


def hands(chunks: Sequence[RecordChunk]) -> list[ChunkInHand]:
    return [read(received(chunk), NoSchemas()) for chunk in chunks]


def work(processor: Processor, chunks: Sequence[RecordChunk], record_type: RecordType = MEMBERS) -> Settled:
    return processor.process(hands(chunks), record_type)


def noted(uploads: Uploads, lanes: int = 1, organization: UUID = DEFAULT_ORGANIZATION) -> UUID:
    upload = uploads.accept(organization=organization)
    uploads.note(upload, lanes=lanes)
    return upload


def results_in_ledger(uploads: Uploads, upload: UUID) -> list[tuple[int, int, int, int, dict[str, int]]]:
    return [
        (row.chunk_number, row.records, row.succeeded_records, row.failed_records, row.errors_by_code)
        for row in uploads.ledger(upload)
    ]


def test_good_records_become_rows_with_their_derived_columns(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    record = member(1, member_email="x@example.org", work_hours="0040")
    (chunk,) = chunks_of(csv_of([record, "", member(2, work_hours="")]), upload)
    settled = work(processor, [chunk])

    rows = uploads.loaded(upload)
    assert sorted(rows) == [2, 4]  # a blank line is no record, and counts as a row
    assert (rows[2].member_id, rows[2].member_email, rows[2].work_hours) == ("M1", "x@example.org", 40)
    assert rows[2].certification_date.isoformat() == "2026-01-31"
    assert rows[2].organization_id == DEFAULT_ORGANIZATION
    assert rows[4].work_hours is rows[4].first_name is None
    assert uploads.rejected(upload) == {}
    (result,) = settled.results
    (row,) = uploads.ledger(upload)
    assert result == ChunkResult(
        upload_id=upload, organization_id=DEFAULT_ORGANIZATION, attempt=1, chunk_number=0, lane=0, lane_seq=0,
        first_row=2, last_row=4, records=2, outcome="loaded", succeeded_records=2, failed_records=0, held_records=0,
        unprocessed_records=0, errors_by_code={}, started_at=row.started_at, duration_ms=row.duration_ms,
        worker="host/1",
    )  # fmt: skip
    assert (row.outcome, row.digest, row.worker) == ("loaded", chunk.digest, "host/1")
    assert uploads.settled(upload) == {0: 1}


def test_bad_records_are_stored_exactly(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    odd = 'NUL\\u0000 "quoted", \N{SNOWMAN}'
    file = csv_of(
        [
            member(1, member_id=" ", member_email="no", certification_date="2026-02-30", note=odd),
            "too,few",
            member(2),
        ]
    )
    (chunk,) = chunks_of(file, upload)
    (result,) = work(processor, [chunk]).results

    found = uploads.rejected(upload)
    assert sorted(found) == [2, 3]
    first = found[2]
    assert (first.error_code, first.organization_id) == ("VAL_001", DEFAULT_ORGANIZATION)
    assert [(error["code"], error["field"], error["value"]) for error in first.errors] == [
        ("VAL_001", "member_id", None),
        ("VAL_002", "certification_date", "2026-02-30"),
        ("VAL_003", "member_email", "no"),
    ]
    assert first.error_message == first.errors[0]["message"]
    assert first.row_data["note"] == odd
    assert set(first.row_data) == set(HEADER)
    assert first.raw_text is None
    assert (found[3].error_code, found[3].raw_text, found[3].row_data) == ("VAL_006", "too,few", None)
    assert (result.succeeded_records, result.failed_records) == (1, 2)
    assert result.errors_by_code == {"VAL_001": 1, "VAL_006": 1}
    assert sorted(uploads.loaded(upload)) == [4]


def test_a_chunk_of_nothing_but_bad_lines_has_its_ledger_row(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = chunks_of(csv_of(["a,b", "c", member(1)]), upload, chunk_records=2)
    assert chunks[0].record_count == len(chunks[0].rejections) == 2
    work(processor, chunks)
    assert results_in_ledger(uploads, upload) == [(0, 2, 0, 2, {"VAL_006": 2}), (1, 1, 1, 0, {})]


def test_the_first_of_a_key_wins_wherever_the_chunk_and_batch_borders_are(
    uploads: Uploads, processor: Processor
) -> None:
    upload = noted(uploads)
    numbers = [1, 1, 2, 3, 1, 2, 4, 4, 1]  # rows 2 to 10
    chunks = chunks_of(csv_of(member(number) for number in numbers), upload, chunk_records=2)
    for batch in (chunks[:3], chunks[3:]):  # within a chunk, across chunks, across batches
        work(processor, batch)
    assert sorted(uploads.loaded(upload)) == [2, 4, 5, 8]
    first_rows = {3: 2, 6: 2, 7: 4, 9: 8, 10: 2}
    rejected = uploads.rejected(upload)
    assert {number: row.error_code for number, row in rejected.items()} == dict.fromkeys(first_rows, "DUP_001")
    for number, first in first_rows.items():
        assert f"came first in row {first} of upload {upload}" in rejected[number].error_message


def test_the_same_file_twice_is_all_duplicates_of_the_first_upload(uploads: Uploads, processor: Processor) -> None:
    first, second = noted(uploads, lanes=2), noted(uploads, lanes=2)
    file = csv_of([*(member(number) for number in range(8)), member(3)])
    work(processor, chunks_of(file, first, lanes=2, chunk_records=3))
    for chunk in chunks_of(file, second, lanes=2, chunk_records=3):
        work(processor, [chunk])
    assert sorted(uploads.loaded(first)) == list(range(2, 10))
    assert uploads.loaded(second) == {}
    rejected = uploads.rejected(second)
    assert set(rejected) == set(range(2, 11))
    for number, row in rejected.items():
        # The last record repeats row 5, and both of them lose against the row that the first upload has.
        assert f"came first in row {5 if number == 10 else number} of upload {first}" in row.error_message


def test_who_lost_to_a_record_that_itself_loses_to_the_table_names_the_tables_row(
    uploads: Uploads, processor: Processor
) -> None:
    first, second = noted(uploads), noted(uploads)
    work(processor, chunks_of(csv_of([member("x"), member(1)]), first))
    work(processor, chunks_of(csv_of([member(2), member(1), member(3), member(1), member(3)]), second))
    assert sorted(uploads.loaded(second)) == [2, 4]
    rejected = uploads.rejected(second)
    assert sorted(rejected) == [3, 5, 6]
    for number in (3, 5):
        assert f"row 3 of upload {first}" in rejected[number].error_message
    assert f"row 4 of upload {second}" in rejected[6].error_message


def test_two_uploads_in_one_batch_know_which_was_first(uploads: Uploads, processor: Processor) -> None:
    first, second = noted(uploads), noted(uploads)
    chunks = [*chunks_of(members(3, start=1), second), *chunks_of(members(3), first)]
    settled = work(processor, chunks)
    assert sorted(uploads.loaded(first)) == [2, 3, 4]
    assert sorted(uploads.loaded(second)) == [4]
    assert {number: row.error_message.split("first in ")[1] for number, row in uploads.rejected(second).items()} == {
        2: f"row 3 of upload {first}",
        3: f"row 4 of upload {first}",
    }
    assert {result.upload_id for result in settled.results} == {first, second}


def test_an_upload_that_met_a_taken_key_goes_through_staging_from_then_on(
    uploads: Uploads, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = noted(uploads), noted(uploads), noted(uploads)
    work(processor, chunks_of(members(1), first))
    chunks = chunks_of(csv_of(member(number) for number in (0, 5, 6, 0, 6, 7)), second, chunk_records=2)
    work(processor, chunks[:1])
    direct: list[object] = []
    monkeypatch.setattr("record_processor.load_rows.load_directly", lambda *load: direct.append(load))
    for chunk in chunks[1:]:
        work(processor, [chunk])
    assert direct == []
    work(processor, chunks_of(members(1, start=900), third))  # another upload does not
    assert len(direct) == 1
    assert sorted(uploads.loaded(second)) == [3, 4, 7]
    assert sorted(uploads.codes(second)) == [2, 5, 6]


def test_keys_of_another_organization_are_nobodys_business(
    uploads: Uploads, processor: Processor, database_url: str
) -> None:
    other = make_organization(database_url, "other")
    ours, theirs = noted(uploads), noted(uploads, organization=other)
    work(processor, chunks_of(members(2), ours))
    work(processor, chunks_of(members(2), theirs, organization=other))
    assert len(uploads.loaded(ours)) == len(uploads.loaded(theirs)) == 2
    assert {row.organization_id for row in uploads.loaded(theirs).values()} == {other}
    assert {row.organization_id for row in uploads.ledger(theirs)} == {other}


def test_a_chunk_that_comes_again_is_worked_once_and_its_result_told_again(
    uploads: Uploads, processor: Processor
) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(4), upload, chunk_records=2)
    first = work(processor, [chunks[0], chunks[0], chunks[1]])
    assert len(uploads.loaded(upload)) == 4
    assert len(uploads.ledger(upload)) == 2
    assert {result.chunk_number for result in first.results} == {0, 1}
    told_again = work(processor, again(chunks, epoch=2)).results
    by_number = {result.chunk_number: result for result in first.results}
    assert {result.chunk_number: result for result in told_again} == by_number
    assert len(uploads.loaded(upload)) == 4
    assert uploads.rejected(upload) == {}


def test_a_replay_is_told_again_without_a_look_at_the_records_until_something_new_comes(
    uploads: Uploads, processor: Processor
) -> None:
    upload = noted(uploads)
    *old, new = chunks_of(members(6), upload, chunk_records=2)
    first = work(processor, old)
    work(processor, old)
    without_records = [replace(hand, records=None) for hand in hands(old)]
    assert processor.process(without_records, MEMBERS).results == first.results
    settled = work(processor, [*old, new])
    assert len(settled.results) == 3
    assert len(uploads.loaded(upload)) == 6


def test_what_comes_behind_a_gap_is_dropped_and_the_splitter_told(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads, lanes=2)
    by_lane: dict[int, list[RecordChunk]] = {0: [], 1: []}
    for chunk in again(chunks_of(members(40), upload, lanes=2, chunk_records=5), epoch=7):
        by_lane[chunk.lane].append(chunk)
    settled = work(processor, [by_lane[0][0], by_lane[0][2], by_lane[1][1], *again([by_lane[1][2]], epoch=5)])
    assert [(result.lane, result.lane_seq) for result in settled.results] == [(0, 0)]
    assert uploads.lanes(upload) == [(0, 1, 7), (1, 0, 7)]
    assert len(uploads.loaded(upload)) == 5
    assert len(uploads.ledger(upload)) == 1
    work(processor, again([by_lane[0][2]], epoch=3))  # a zombie's, long after: the epoch does not go back
    assert uploads.lanes(upload)[0] == (0, 1, 7)
    work(processor, [*by_lane[0][1:], *by_lane[1]])
    assert len(uploads.loaded(upload)) == 40


def test_a_chunk_that_names_no_upload_of_its_organization_is_a_strangers(
    uploads: Uploads, processor: Processor, database_url: str
) -> None:
    other = make_organization(database_url, "other")
    upload = noted(uploads)
    (real,) = chunks_of(members(2), upload)
    (unknown,) = chunks_of(members(2), UUID(int=5))
    forged = replace(real, organization_id=other)
    no_such_lane = replace(real, lane=3)
    for chunk in (unknown, forged, no_such_lane):
        settled = work(processor, [chunk])
        assert [hand.chunk for hand in settled.strangers] == [chunk]
        assert settled.results == []
    assert uploads.loaded(upload) == {}
    assert uploads.execute("SELECT * FROM member_certifications") == []
    assert uploads.lanes(upload) == [(0, 0, -1)]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_chunks_of_a_closed_upload_are_dropped(uploads: Uploads, processor: Processor, status: str) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(4), upload, chunk_records=2)
    work(processor, chunks[:1])
    uploads.change(upload, status=status)
    settled = work(processor, chunks[1:])
    assert settled == Settled([], [])
    assert len(uploads.loaded(upload)) == 2
    assert uploads.lanes(upload) == [(0, 1, -1)]


def test_chunks_of_a_paused_upload_are_dropped_until_it_runs_again(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(4), upload, chunk_records=2)
    for requested in ("pause", "cancel"):
        uploads.request(upload, requested)
        assert work(processor, chunks) == Settled([], [])
    assert uploads.lanes(upload) == [(0, 0, -1)]
    uploads.request(upload, "run")
    work(processor, chunks)
    assert len(uploads.loaded(upload)) == 4


def test_chunks_of_an_earlier_attempt_are_dropped(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.change(upload, attempt=2)
    assert work(processor, chunks_of(members(2), upload)) == Settled([], [])
    work(processor, chunks_of(members(2), upload, attempt=2))
    assert len(uploads.loaded(upload)) == 2


def test_an_unprocessed_chunk_is_worked_when_a_later_attempt_sends_it(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(6), upload, chunk_records=2)
    work(processor, chunks[:1])
    processor.give_up(hands(chunks)[1], unreadable("?"))
    work(processor, chunks[2:])
    assert [row.outcome for row in uploads.ledger(upload)] == ["loaded", "unprocessed", "loaded"]
    assert uploads.ledger(upload)[1].unprocessed_records == 2
    assert work(processor, [chunks[1]]).results[0].outcome == "unprocessed"  # not by the same attempt

    uploads.change(upload, attempt=2)
    second = chunks_of(members(6), upload, chunk_records=2, attempt=2)
    settled = work(processor, [second[1], *second])
    assert [(row.outcome, row.attempt) for row in uploads.ledger(upload)] == [
        ("loaded", 1),
        ("loaded", 2),
        ("loaded", 1),
    ]
    assert sorted(uploads.loaded(upload)) == [2, 3, 4, 5, 6, 7]
    assert {(result.chunk_number, result.attempt) for result in settled.results} == {(0, 1), (1, 2), (2, 1)}
    assert uploads.settled(upload) == {0: 3}


def test_what_the_ledger_does_not_take_is_not_committed(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(4), upload, chunk_records=2)
    work(processor, chunks)
    uploads.execute("UPDATE upload_lanes SET next_seq = 0")  # as no one of ours ever would
    uploads.execute("DELETE FROM member_certifications")
    with pytest.raises(LedgerDisagrees):
        work(processor, chunks)
    assert uploads.loaded(upload) == {}


def test_a_table_that_refuses_a_row_for_another_reason_than_its_key_loses_none_silently(
    uploads: Uploads, processor: Processor
) -> None:
    upload = noted(uploads)
    uploads.execute("CREATE UNIQUE INDEX ON member_certifications (member_email)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        work(processor, chunks_of(members(2), upload))
    assert uploads.ledger(upload) == []


@pytest.mark.parametrize("taken", [False, True], ids=["directly", "through staging"])
def test_a_row_that_the_table_swallows_is_noticed(uploads: Uploads, processor: Processor, *, taken: bool) -> None:
    if taken:
        work(processor, chunks_of(members(1), noted(uploads)))
    upload = noted(uploads)
    uploads.execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.member_id = 'M3' THEN RETURN NULL; END IF; RETURN NEW; END $$"
    )
    uploads.execute(
        "CREATE TRIGGER swallow BEFORE INSERT ON member_certifications FOR EACH ROW EXECUTE FUNCTION swallow()"
    )
    with pytest.raises(RowsMissing, match="5 rows were given, 4"):
        work(processor, chunks_of(members(5), upload))
    assert uploads.loaded(upload) == {}
    assert uploads.ledger(upload) == []


def test_files_with_different_columns_share_a_batch(uploads: Uploads, processor: Processor) -> None:
    first, second = noted(uploads), noted(uploads)
    short = b"case_number,certification_type,certification_date,member_email,member_id\n"
    short += b"C1,recertification,2026-01-31,a@example.org,S1\nC1,nothing,2026-01-31,a@example.org,S2\n"
    work(processor, [*chunks_of(members(2), first), *chunks_of(short, second)])
    assert [row.work_hours for row in uploads.loaded(first).values()] == [20, 20]
    assert {number: (row.member_id, row.work_hours) for number, row in uploads.loaded(second).items()} == {
        2: ("S1", None)
    }
    assert uploads.codes(second) == {3: "VAL_004"}
    assert uploads.rejected(second)[3].row_data == {
        "case_number": "C1", "certification_type": "nothing", "certification_date": "2026-01-31",
        "member_email": "a@example.org", "member_id": "S2",
    }  # fmt: skip


class _Reading(dy.Schema):
    station = dy.String(nullable=False)
    value = dy.Float64(nullable=True)
    valid = dy.Bool(nullable=True)
    number = dy.Int64(nullable=False)
    remark = dy.String(nullable=True)


READINGS = RecordType(
    name="reading", version=1, title="Readings", table="order", schema=_Reading, key=("station", "number")
)


def test_any_text_and_number_arrives_as_it_was(uploads: Uploads, processor: Processor) -> None:
    with uploads.owner.begin() as connection:
        bring_up_to_date(connection, READINGS)
    upload = noted(uploads)
    texts = [
        "\\.",
        "\\N",
        "NULL",
        '"',
        "a\tb",
        "a\nb",
        "a\r\nb",
        ",",
        "'",
        "a\u2028b",
        "\U0001f600",
        "  x  ",
        "\\x00",
        "a\\",
    ]
    lines = [
        f'"{text.replace(chr(34), chr(34) * 2)}",{1.5 * number},true,{number},x' for number, text in enumerate(texts)
    ]
    lines.append("last,-1e-300,false,007,")
    data = ("station,value,valid,number,remark\n" + "\n".join(lines) + "\n").encode()
    work(processor, chunks_of(data, upload, record_type=READINGS), READINGS)
    assert uploads.rejected(upload) == {}
    rows = sorted(uploads.loaded(upload, READINGS).values(), key=lambda row: row.row_number)
    assert [row.station for row in rows] == [*texts, "last"]
    assert [row.value for row in rows] == [*(1.5 * number for number in range(len(texts))), -1e-300]
    assert (rows[-1].number, rows[-1].valid, rows[-1].remark) == (7, False, None)
