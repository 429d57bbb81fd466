"""The rows of a cancelled upload go out again: exactly those, counted, whatever happens meanwhile."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from auditor import closing
from record_processor import undo, upkeep
from record_processor.process import Processor
from record_processor.undo import Undoer, Window, undo_some
from rowstream.database.connection import AUDITOR_ROLE
from rowstream.runtime.health import Health
from rowstream.runtime.logging import configure_logging
from tests.engines import engine_of
from tests.integration.record_processor.test_process import noted, work
from tests.servers import until
from tests.uploads import Uploads, chunks_of, csv_of, member, members

COUNT = 50


@pytest.fixture
def auditor(database_url: str) -> Iterator[Engine]:
    with engine_of(database_url, role=AUDITOR_ROLE, service="auditor", pool_size=1) as engine:
        yield engine


def loaded(uploads: Uploads, processor: Processor, *, start: int = 0) -> UUID:
    """An upload of 50 good records and one bad one."""
    upload = noted(uploads, lanes=3)
    records: list[dict[str, str] | str] = [member(number) for number in range(start, start + COUNT)]
    work(processor, chunks_of(csv_of([*records, "bad"]), upload, lanes=3, chunk_records=7))
    return upload


def cancel(uploads: Uploads, auditor: Engine, upload: UUID, *, undo: bool = True, close: bool = True) -> None:
    uploads.request(upload, "cancel")
    uploads.change(upload, status="cancelled")
    if undo:
        ask_for_undo(uploads, upload)
    if close:
        with auditor.begin() as connection:
            assert closing.close(connection, upload)


def ask_for_undo(uploads: Uploads, upload: UUID) -> None:
    uploads.execute("UPDATE upload_control SET undo = true WHERE batch_upload_id = :id", id=upload)


def control(uploads: Uploads, upload: UUID) -> Any:
    (row,) = uploads.execute("SELECT * FROM upload_control WHERE batch_upload_id = :id", id=upload)
    return row


def undo_all(engine: Engine, window_rows: int = 20) -> list[Window]:
    windows = []
    while window := undo_some(engine, window_rows=window_rows):
        windows.append(window)
    return windows


def test_exactly_its_rows_go_out_and_what_was_is_still_told(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    upload, other = loaded(uploads, processor), loaded(uploads, processor, start=1_000)
    before = uploads.loaded(other), uploads.rejected(upload), uploads.ledger(upload), uploads.lanes(upload)
    cancel(uploads, auditor, upload)
    windows = undo_all(engine)
    assert [window.rows for window in windows] == [19, 20, 11]
    assert [window.finished for window in windows] == [False, False, True]
    assert uploads.loaded(upload) == {}
    row = control(uploads, upload)
    assert (row.undone_records, row.undone_at is not None) == (COUNT, True)
    assert (uploads.loaded(other), uploads.rejected(upload), uploads.ledger(upload), uploads.lanes(upload)) == before


def test_its_keys_are_free_for_the_next_upload(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    cancel(uploads, auditor, loaded(uploads, processor))
    undo_all(engine)
    following = loaded(uploads, processor)
    assert len(uploads.loaded(following)) == COUNT
    assert sorted(uploads.codes(following).values()) == ["VAL_006"]


def test_a_second_time_changes_nothing(uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload)
    undo_all(engine)
    once = control(uploads, upload)
    ask_for_undo(uploads, upload)
    assert undo_all(engine) == []
    assert control(uploads, upload) == once


@pytest.mark.parametrize(
    ("meddling", "then"),
    [
        ("UPDATE batch_uploads SET status = 'processing'", "UPDATE batch_uploads SET status = 'cancelled'"),
        ("UPDATE upload_control SET undo = false", "UPDATE upload_control SET undo = true"),
        ("UPDATE batch_uploads SET attempt = 2", "UPDATE batch_uploads SET attempt = 1"),
    ],
    ids=["not cancelled", "not asked for", "closed an attempt ago"],
)
def test_it_waits_until_it_may(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine, meddling: str, then: str
) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload)
    uploads.execute(meddling)
    assert undo_all(engine) == []
    assert len(uploads.loaded(upload)) == COUNT
    uploads.execute(then)
    assert sum(window.rows for window in undo_all(engine)) == COUNT


def test_while_a_processor_may_still_add_rows_nothing_goes_out(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload, close=False)
    assert undo_all(engine) == []
    with auditor.begin() as connection:
        assert closing.close(connection, upload)
    assert sum(window.rows for window in undo_all(engine)) == COUNT


def test_an_upload_without_rows_is_done_at_once(uploads: Uploads, engine: Engine, auditor: Engine) -> None:
    upload = uploads.accept()
    cancel(uploads, auditor, upload)
    assert undo_all(engine) == [Window(upload, 0, finished=True)]
    assert control(uploads, upload).undone_records == 0


def test_killed_in_the_middle_another_goes_on_and_the_count_is_exact(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine, database_url: str
) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload)
    uploads.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF OLD.row_number = 30 THEN PERFORM pg_sleep(60); END IF; RETURN OLD; END $$"
    )
    uploads.execute(
        "CREATE TRIGGER linger BEFORE DELETE ON member_certifications FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    program = [sys.executable, "-m", "tests.integration.record_processor.undoer", database_url, "8"]
    sleeping = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with subprocess.Popen(program) as process:
        until(lambda: bool(uploads.execute(sleeping)), what="the middle of a window")
        process.kill()
    ((pid,),) = uploads.execute(sleeping)
    uploads.execute("SELECT pg_terminate_backend(:pid)", pid=pid)  # sooner than the server notices the kill itself
    until(lambda: not uploads.execute(sleeping), what="the end of the session")
    row = control(uploads, upload)
    assert 0 < row.undone_records < COUNT
    assert row.undone_at is None
    assert len(uploads.loaded(upload)) + row.undone_records == COUNT

    uploads.execute("DROP TRIGGER linger ON member_certifications")
    rest = undo_all(engine)
    assert row.undone_records + sum(window.rows for window in rest) == COUNT
    assert (control(uploads, upload).undone_records, uploads.loaded(upload)) == (COUNT, {})


def test_several_processors_share_the_work_and_count_no_row_twice(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    several = [loaded(uploads, processor, start=start) for start in (0, 1_000, 2_000)]
    for upload in several:
        cancel(uploads, auditor, upload)

    def until_all_is_done() -> int:
        rows = 0
        while any(control(uploads, upload).undone_at is None for upload in several):
            window = undo_some(engine, window_rows=3)
            rows += window.rows if window else 0
        return rows

    with ThreadPoolExecutor(3) as pool:
        counts = [future.result(timeout=30) for future in [pool.submit(until_all_is_done) for _ in range(3)]]
    assert sum(counts) == 3 * COUNT
    assert [control(uploads, upload).undone_records for upload in several] == [COUNT] * 3


def test_one_that_is_taken_does_not_hold_up_the_others(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    first, second = loaded(uploads, processor), loaded(uploads, processor, start=1_000)
    for upload in (first, second):
        cancel(uploads, auditor, upload)
    with uploads.owner.begin() as other:
        other.execute(text("SELECT FROM upload_control WHERE batch_upload_id = :id FOR UPDATE"), {"id": first})
        assert {window.upload_id for window in undo_all(engine)} == {second}
    assert len(uploads.loaded(first)) == COUNT


def test_an_upload_meanwhile_that_wants_the_same_keys_gets_them_or_is_told(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    upload, rival = loaded(uploads, processor), noted(uploads)
    cancel(uploads, auditor, upload)
    assert undo_some(engine, window_rows=26)
    work(processor, chunks_of(members(COUNT), rival))
    assert len(uploads.loaded(rival)) == 25
    assert set(uploads.codes(rival).values()) == {"DUP_001"}
    undo_all(engine)
    assert len(uploads.loaded(rival)) == 25


def test_the_loop_does_it_and_a_task_that_fails_costs_the_others_nothing(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine
) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload)
    failures: list[int] = []

    def failing() -> None:
        failures.append(1)
        raise RuntimeError

    stop = threading.Event()
    with upkeep.in_background(stop, failing, lambda: undo_some(engine, window_rows=10)):
        until(lambda: control(uploads, upload).undone_at is not None, what="the undo")
    assert len(failures) > 1
    assert stop.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "upkeep"]


def refuse(uploads: Uploads, upload: UUID) -> None:
    """From now on the database keeps this upload's rows."""
    uploads.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF OLD.batch_upload_id = '{upload}' THEN RAISE 'about %', OLD.member_id USING ERRCODE = '23503'; END IF;"
        " RETURN OLD; END $$"
    )
    uploads.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON member_certifications FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


def test_one_that_the_database_refuses_holds_up_nobody_and_is_told_of(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    configure_logging("test")
    first, second = loaded(uploads, processor), loaded(uploads, processor, start=1_000)
    for upload in (first, second):
        cancel(uploads, auditor, upload)
    refuse(uploads, first)
    monkeypatch.setattr(undo, "TOLD_AFTER_SECONDS", 0.5)
    capfd.readouterr()
    health = Health()
    undoer = Undoer(engine, health)
    stop = threading.Event()
    with upkeep.in_background(stop, undoer.some):
        until(lambda: control(uploads, second).undone_at is not None, what="the other's undo")
        until(lambda: bool(health.going_without), what="a reason")
        told = f"undo: the rows of 1 cancelled uploads cannot be taken out; of upload {first}: "
        assert health.going_without == [told + "table member_certifications, ForeignKeyViolation (23503)"]
        assert len(uploads.loaded(first)) == COUNT
        uploads.execute("DROP TRIGGER refuse ON member_certifications")
        until(lambda: control(uploads, first).undone_at is not None, seconds=20, what="the undo")
        until(lambda: not health.going_without, what="nothing to tell")
    said = capfd.readouterr().err
    failures = [one for one in map(json.loads, said.splitlines()) if one["event"] == "rows not taken out for now"]
    assert 1 <= len(failures) <= 5
    pauses = [one["again_in_seconds"] for one in failures]
    assert pauses == [2**turn for turn in range(len(pauses))]
    assert failures[0]["reason"] == "table member_certifications, ForeignKeyViolation (23503)"
    assert "about M" not in said
    assert (control(uploads, first).undone_records, uploads.loaded(first)) == (COUNT, {})


def test_one_whose_undo_somebody_else_did_is_told_of_no_more(
    uploads: Uploads, processor: Processor, engine: Engine, auditor: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = loaded(uploads, processor)
    cancel(uploads, auditor, upload)
    refuse(uploads, upload)
    monkeypatch.setattr(undo, "TOLD_AFTER_SECONDS", 0.0)
    health = Health()
    undoer = Undoer(engine, health)
    assert undoer.some()
    assert not undoer.some()  # it is left out
    assert health.going_without
    uploads.execute("DROP TRIGGER refuse ON member_certifications")
    undo_all(engine)
    until(lambda: not undoer.some() and not health.going_without, what="nothing to tell")
