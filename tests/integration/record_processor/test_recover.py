"""What a real Postgres says when things go wrong, and that a group is settled all the same."""

import json
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from record_processor.batch import ChunkInHand, read
from record_processor.failure import unreadable
from record_processor.process import Processor
from record_processor.recover import Stopped, give_up, settle
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import PROCESSOR_ROLE
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.messages.record_chunk import RecordChunk
from rowstream.runtime.logging import configure_logging
from tests import servers
from tests.engines import engine_of
from tests.integration.record_processor.test_process import NoSchemas, noted
from tests.uploads import MEMBERS, Uploads, chunks_of, members, received, uploads_in


def hands(chunks: Sequence[RecordChunk]) -> list[ChunkInHand]:
    return [read(received(chunk), NoSchemas()) for chunk in chunks]


def never(reason: str, _: float) -> None:
    raise AssertionError(f"nothing is to be waited for here: {reason}")


class Waits:
    """Counts the waits, and does something about what is waited for at the one that is named."""

    def __init__(self, mend: Any = None, at: int = 1) -> None:
        self.reasons: list[str] = []
        self._mend, self._at = mend, at

    def __call__(self, reason: str, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.reasons.append(reason)
        assert len(self.reasons) < 200
        if len(self.reasons) == self._at and self._mend:
            self._mend()


def raising(uploads: Uploads, number: int, sqlstate: str) -> None:
    """From now on this record makes the database say that."""
    uploads.execute(
        "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.member_id = 'M{number}' THEN RAISE 'about %', NEW.member_email USING ERRCODE = '{sqlstate}'; END IF;"
        " RETURN NEW; END $$"
    )
    uploads.execute(
        "CREATE TRIGGER raising BEFORE INSERT ON member_certifications FOR EACH ROW EXECUTE FUNCTION raising()"
    )


def dead_letters(uploads: Uploads) -> list[Any]:
    return list(uploads.execute("SELECT * FROM dead_letters ORDER BY id"))


def test_of_a_group_that_fails_only_the_chunk_at_fault_stays_unprocessed(
    uploads: Uploads, processor: Processor, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("test")
    first, second = noted(uploads), noted(uploads)
    raising(uploads, 5, "XX000")
    group = [*chunks_of(members(9), first, chunk_records=3), *chunks_of(members(2, start=20), second)]
    waits = Waits()
    settled = settle(processor, hands(group), MEMBERS, pause=waits)
    assert waits.reasons == ["InternalError_ (XX000)"] * 2  # between three tries
    assert [row.outcome for row in uploads.ledger(first)] == ["loaded", "unprocessed", "loaded"]
    assert [row.outcome for row in uploads.ledger(second)] == ["loaded"]
    assert sorted(uploads.loaded(first)) == [2, 3, 4, 8, 9, 10]
    assert [(result.chunk_number, result.unprocessed_records) for result in settled.results] == [
        (0, 0), (1, 3), (2, 0), (0, 0),
    ]  # fmt: skip
    assert uploads.settled(first) == {0: 3}
    (letter,) = dead_letters(uploads)
    assert (letter.batch_upload_id, letter.chunk_number, letter.attempt) == (first, 1, 1)
    assert (letter.error_code, letter.tries, letter.records) == ("DB_002", 3, 3)
    assert (letter.first_row, letter.last_row, letter.organization_id) == (5, 7, DEFAULT_ORGANIZATION)
    assert letter.reason == "it failed alone 3 times, the last time with InternalError_ (XX000)"
    assert uploads.execute("SELECT * FROM chunk_attempts") == []
    # Postgres names the whole row in its error; a log must not.
    said = capfd.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == ["group failed", *["chunk failed"] * 3, "chunk unprocessed"]
    assert "load_directly" in said
    assert "a@example.org" not in said
    assert "M5" not in said


def test_an_error_that_passes_costs_its_tries_and_no_record(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    raising(uploads, 5, "XX000")
    tried: list[Any] = []

    def mend() -> None:
        tried.extend(uploads.execute("SELECT tries, last_error FROM chunk_attempts"))
        uploads.execute("DROP TRIGGER raising ON member_certifications")

    waits = Waits(mend, at=2)
    settle(processor, hands(chunks_of(members(9), upload)), MEMBERS, pause=waits)
    assert tried == [(2, "DB_002 InternalError_ (XX000)")]
    assert len(uploads.loaded(upload)) == 9
    assert uploads.execute("SELECT * FROM chunk_attempts") == dead_letters(uploads) == []


def test_an_error_of_our_own_is_tried_and_given_up_as_well(
    uploads: Uploads, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = noted(uploads)

    def fail(*_: object) -> None:
        raise KeyError("a@example.org")

    monkeypatch.setattr("record_processor.process.validate", fail)
    waits = Waits()
    settle(processor, hands(chunks_of(members(2), upload)), MEMBERS, pause=waits)
    (letter,) = dead_letters(uploads)
    assert (letter.error_code, letter.tries) == ("UNK_001", 3)
    assert letter.reason.endswith("with KeyError")


def test_deadlocks_and_serialization_cost_no_try(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute(
        "CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40P01'; END $$"
    )
    uploads.execute("CREATE TRIGGER in_the_way BEFORE INSERT ON member_certifications EXECUTE FUNCTION in_the_way()")
    waits = Waits(lambda: uploads.execute("DROP TRIGGER in_the_way ON member_certifications"), at=5)
    settle(processor, hands(chunks_of(members(4), upload, chunk_records=2)), MEMBERS, pause=waits)
    assert len(waits.reasons) == 5
    assert {reason.split()[-1] for reason in waits.reasons} == {"(40P01)"}
    assert len(uploads.loaded(upload)) == 4


def test_a_real_deadlock_ends_with_both_sides_done(uploads: Uploads, processor: Processor) -> None:
    # Somebody has key 9 and wants key 1; the processor has key 1 and wants key 9.
    upload = noted(uploads)
    (chunk,) = chunks_of(members(9, start=1), upload)
    insert = text(
        "INSERT INTO member_certifications (organization_id, member_id, case_number, member_email, certification_date,"
        " certification_type, batch_upload_id, row_number) VALUES ('0198c0de-0000-7000-8000-000000000001', :member,"
        " :case, 'x@y', '2026-01-31', 'recertification', '00000000-0000-0000-0000-000000000009', 99)"
    )
    waits = Waits()
    working = threading.Thread(
        target=settle, args=(processor, hands([chunk]), MEMBERS), kwargs={"pause": waits}, daemon=True
    )
    (database,) = uploads.execute("SELECT current_database()")
    uploads.execute(f"ALTER DATABASE {database[0]} SET deadlock_timeout = '1500ms'")  # the processor's: it gives way
    with uploads.owner.begin() as connection:
        connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        connection.execute(insert, {"member": "M9", "case": "C9"})
        working.start()
        servers.until(lambda: bool(uploads.execute("SELECT 1 FROM pg_locks WHERE NOT granted")), what="a wait")
        connection.execute(insert, {"member": "M1", "case": "C1"})  # goes in when the processor was chosen to give way
    working.join(20)
    assert not working.is_alive()
    assert waits.reasons[0] == "DeadlockDetected (40P01)"
    assert sorted(uploads.loaded(upload)) == list(range(3, 10))
    assert uploads.codes(upload) == {2: "DUP_001", 10: "DUP_001"}


def test_waiting_ends_when_the_service_is_asked_to_stop(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute("ALTER TABLE processed_chunks RENAME TO gone")

    def stop(_: str, __: float) -> None:
        raise Stopped

    (hand,) = hands(chunks_of(members(4), upload))
    with pytest.raises(Stopped):
        settle(processor, [hand], MEMBERS, pause=stop)
    with pytest.raises(Stopped):
        give_up(processor, hand, unreadable("?"), pause=stop)
    assert uploads.loaded(upload) == {}
    assert uploads.execute("SELECT * FROM chunk_attempts") == []


def test_a_chunk_is_given_up_as_soon_as_the_ledger_is_back(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute("ALTER TABLE processed_chunks RENAME TO gone")
    waits = Waits(lambda: uploads.execute("ALTER TABLE gone RENAME TO processed_chunks"), at=2)
    (hand,) = hands(chunks_of(members(4), upload))
    (result,) = give_up(processor, hand, unreadable("?"), pause=waits).results
    assert (result.outcome, result.unprocessed_records, result.failed_records) == ("unprocessed", 4, 0)
    assert uploads.settled(upload) == {0: 1}
    assert give_up(processor, hand, unreadable("again"), pause=never).results == [result]
    (letter,) = dead_letters(uploads)
    assert (letter.error_code, letter.reason, letter.tries) == ("UNK_003", "the chunk cannot be read: ?", 0)


def test_a_chunk_behind_a_gap_is_not_given_up(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = chunks_of(members(4), upload, chunk_records=2)
    assert give_up(processor, hands(chunks)[1], unreadable("?"), pause=never).results == []
    assert uploads.ledger(upload) == []
    assert uploads.lanes(upload) == [(0, 0, 1)]


def test_a_postgres_that_restarts_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with (
        servers.postgres_server(tmp_path) as server,
        server.fresh_database() as url,
        uploads_in(url) as uploads,
        engine_of(url, role=PROCESSOR_ROLE, service=SERVICE) as engine,
        engine_of(url, service="patience", pool_size=1) as patient,
    ):
        processor = Processor(engine, patience=Patience(patient, 5.0), worker="host/1")
        uploads.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$"
        )
        uploads.execute("CREATE TRIGGER linger AFTER INSERT ON processed_chunks EXECUTE FUNCTION linger()")
        upload = noted(uploads, lanes=2)
        chunks = chunks_of(members(600), upload, lanes=2, chunk_records=100)
        ends = [server.kill, server.stop, lambda: None]
        for number, end in enumerate(ends):
            fault = threading.Timer(0.15, end)
            waits = Waits(partial(_come_back, server, fault))
            fault.start()
            settle(processor, hands(chunks[number * 3 : number * 3 + 3]), MEMBERS, pause=waits)
            assert bool(waits.reasons) == (number < 2)
        assert sorted(uploads.loaded(upload)) == list(range(2, 602))
        assert len(uploads.ledger(upload)) == len(chunks)
        assert sum(row.succeeded_records for row in uploads.ledger(upload)) == 600


def _come_back(server: servers.Postgres, fault: threading.Thread) -> None:
    fault.join()
    server.start()
