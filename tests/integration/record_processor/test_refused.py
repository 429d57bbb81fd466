"""Records that the database alone refuses: they are rejected, each by itself, and all others are loaded."""

import json
import random
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from record_processor.batch import ChunkInHand, read
from record_processor.process import Processor
from record_processor.recover import settle
from rowstream.messages.record_chunk import RecordChunk
from tests.integration.record_processor.test_process import NoSchemas, noted
from tests.uploads import MEMBERS, Uploads, chunks_of, csv_of, member, members, received


def hands(chunks: Sequence[RecordChunk]) -> list[ChunkInHand]:
    return [read(received(chunk), NoSchemas()) for chunk in chunks]


def never(reason: str, _: float) -> None:
    raise AssertionError(f"nothing is to be waited for here: {reason}")


def work(processor: Processor, chunks: Sequence[RecordChunk]) -> None:
    settle(processor, hands(chunks), MEMBERS, pause=never)


def refuse(uploads: Uploads, what: str, name: str = "nobody_likes_it") -> None:
    uploads.execute(f"ALTER TABLE member_certifications ADD CONSTRAINT {name} CHECK (NOT ({what}))")


def is_exact(uploads: Uploads, upload: UUID, records: int) -> None:
    """Each row has one place, and the ledger says so."""
    loaded, rejected, ledger = uploads.loaded(upload), uploads.rejected(upload), uploads.ledger(upload)
    assert not loaded.keys() & rejected.keys()
    assert len(loaded) + len(rejected) == records
    assert sum(row.succeeded_records for row in ledger) == len(loaded)
    counted: dict[str, int] = {}
    for row in ledger:
        assert row.outcome == "loaded"
        assert sum(row.errors_by_code.values()) == row.failed_records
        for code, count in row.errors_by_code.items():
            counted[code] = counted.get(code, 0) + count
    codes = list(uploads.codes(upload).values())
    assert counted == {code: codes.count(code) for code in set(codes)}
    assert uploads.execute("SELECT * FROM chunk_attempts") == uploads.execute("SELECT * FROM dead_letters") == []


@pytest.mark.parametrize("taken", [False, True], ids=["directly", "through staging"])
def test_a_record_that_a_constraint_refuses_is_rejected_alone(
    uploads: Uploads, processor: Processor, *, taken: bool
) -> None:
    if taken:
        work(processor, chunks_of(members(1), noted(uploads)))
    upload = noted(uploads)
    refuse(uploads, "member_id = 'M5'")
    work(processor, chunks_of(members(9), upload, chunk_records=3))
    assert sorted(uploads.loaded(upload)) == [row for row in range(2, 11) if row != 7 and not (taken and row == 2)]
    rejected = uploads.rejected(upload)
    assert uploads.codes(upload) == ({2: "DUP_001"} if taken else {}) | {7: "DB_001"}
    told = "the database refused this record: check violation, constraint nobody_likes_it (SQLSTATE 23514)"
    assert rejected[7].error_message == told
    assert rejected[7].errors == [{"field": "", "code": "DB_001", "message": told, "value": None}]
    assert rejected[7].row_data["member_id"] == "M5"
    is_exact(uploads, upload, 9)


def test_the_column_is_named_where_the_database_names_it(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute("ALTER TABLE member_certifications ALTER work_hours TYPE smallint, ALTER county SET NOT NULL")
    uploads.execute("ALTER TABLE member_certifications ALTER county SET DEFAULT 'x'")
    file = csv_of([member(1, work_hours="99999"), member(2)])
    work(processor, chunks_of(file, upload))
    first, second = uploads.rejected(upload)[2].errors[0], uploads.rejected(upload)[3].errors[0]
    assert (first["field"], first["value"]) == ("work_hours", "99999")
    assert first["message"] == (
        "the database refused this record: numeric value out of range, column work_hours (SQLSTATE 22003)"
    )
    assert (second["field"], second["value"]) == ("county", None)
    assert "not null violation, column county" in second["message"]


def test_what_a_trigger_says_is_not_passed_on(
    uploads: Uploads, processor: Processor, capfd: pytest.CaptureFixture[str]
) -> None:
    upload = noted(uploads)
    uploads.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.member_id = 'M1' THEN RAISE 'somebody else has %', 'secret'; END IF; RETURN NEW; END $$"
    )
    uploads.execute("CREATE TRIGGER tell BEFORE INSERT ON member_certifications FOR EACH ROW EXECUTE FUNCTION tell()")
    work(processor, chunks_of(members(3), upload))
    (rejection,) = uploads.rejected(upload).values()
    assert rejection.error_message == "the database refused this record: raise exception (SQLSTATE P0001)"
    assert "secret" not in json.dumps(rejection.errors)
    said = capfd.readouterr()
    assert "secret" not in said.err + said.out
    is_exact(uploads, upload, 3)


def test_a_constraint_that_waits_for_commit_refuses_one_record_as_well(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.member_id = 'M4' THEN RAISE 'no' USING ERRCODE = '23514'; END IF; RETURN NULL; END $$"
    )
    uploads.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON member_certifications DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION late()"
    )
    work(processor, chunks_of(members(9), upload, chunk_records=5))
    assert uploads.codes(upload) == {6: "DB_001"}
    is_exact(uploads, upload, 9)


@pytest.mark.parametrize("chunk_records", [2, 8])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "chunk by chunk"])
def test_who_is_first_is_decided_again_without_the_refused(
    uploads: Uploads, processor: Processor, *, together: bool, chunk_records: int
) -> None:
    upload = noted(uploads)
    refuse(uploads, "first_name = 'no'")
    header = b"member_id,case_number,member_email,certification_date,certification_type,first_name\n"
    line = "M{},C1,a@example.org,2026-01-31,recertification,{}\n"
    first_names = [("A", "no"), ("B", "x"), ("A", "no"), ("B", "no"), ("A", "y"), ("A", "no"), ("A", "z"), ("C", "no")]
    file = header + "".join(line.format(*each) for each in first_names).encode()
    chunks = chunks_of(file, upload, chunk_records=chunk_records)
    for batch in [chunks] if together else [[chunk] for chunk in chunks]:
        work(processor, batch)
    assert sorted(uploads.loaded(upload)) == [3, 6]
    # Who comes after the first accepted one of its key is not offered any more, refused or not.
    assert uploads.codes(upload) == {
        2: "DB_001", 4: "DB_001", 5: "DUP_001", 7: "DUP_001", 8: "DUP_001", 9: "DB_001",
    }  # fmt: skip
    rejected = uploads.rejected(upload)
    assert "came first in row 6" in rejected[7].error_message
    assert "came first in row 6" in rejected[8].error_message
    assert "came first in row 3" in rejected[5].error_message
    is_exact(uploads, upload, 8)


def test_of_two_that_exclude_each_other_the_first_stays(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute("CREATE UNIQUE INDEX one_email ON member_certifications (member_email)")
    emails = ["z@b", "y@b", "z@b", "x@b", "y@b", "w@b"]
    file = csv_of(member(9 - place, member_email=f"{email}.example.org") for place, email in enumerate(emails))
    work(processor, chunks_of(file, upload))
    assert uploads.codes(upload) == {4: "DB_001", 6: "DB_001"}
    assert "unique violation, constraint one_email" in uploads.rejected(upload)[4].error_message
    is_exact(uploads, upload, 6)


def test_one_of_a_thousand_is_found_in_about_twenty_steps(
    uploads: Uploads, processor: Processor, engine: Engine
) -> None:
    upload = noted(uploads)
    refuse(uploads, "member_id = 'M617'")
    steps: list[str] = []
    event.listen(engine, "savepoint", lambda _, name: steps.append(name))
    work(processor, chunks_of(members(1_000), upload))
    assert uploads.codes(upload) == {619: "DB_001"}
    assert 2 < len(steps) <= 23  # one of the whole group before
    is_exact(uploads, upload, 1_000)


@pytest.mark.parametrize("seed", range(3))
def test_any_batches_and_any_refusals_give_the_same_outcome(uploads: Uploads, processor: Processor, seed: int) -> None:
    rng = random.Random(seed)
    refuse(uploads, "work_hours = 13")
    records = [
        member(rng.randrange(40), work_hours=rng.choice(["13", "1", "x", "2"]), note=str(number))
        for number in range(150)
    ]
    upload = noted(uploads)
    chunks = chunks_of(csv_of(records), upload, chunk_records=rng.choice([10, 40, 150]))
    while chunks:
        size = rng.randrange(1, 6)
        work(processor, chunks[:size])
        chunks = chunks[size:]
    first: dict[str, int] = {}
    expected: dict[int, str] = {}
    for row, record in enumerate(records, start=2):
        if record["work_hours"] == "x":
            expected[row] = "VAL_005"
        elif record["member_id"] in first:
            expected[row] = "DUP_001"
        elif record["work_hours"] == "13":
            expected[row] = "DB_001"
        else:
            first[record["member_id"]] = row
    assert uploads.codes(upload) == expected
    assert sorted(uploads.loaded(upload)) == sorted(first.values())
    is_exact(uploads, upload, 150)
