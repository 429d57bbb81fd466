"""A chunk that kills its worker is found out, and everything beside it goes on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from record_processor.doubt import Doubt
from rowstream.ids import new_id
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNKS, DEAD_LETTERS
from rowstream.runtime.settings import StorageSettings
from tests import servers
from tests.integration.record_processor.deadly import DEADLY
from tests.services import Process, everything_in, process_of, processing, publish
from tests.uploads import Uploads, chunks_of, csv_of, member, members, received


def message(partition: int, offset: int, assignment: int = 1) -> Received:
    return Received(CHUNKS, partition, offset, None, b"", {}, assignment)


def offsets(messages: tuple[list[Received], list[Received]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    one_by_one, others = ([(each.partition, each.offset) for each in part] for part in messages)
    return one_by_one, others


def test_who_comes_after_one_that_left_doubts_nothing(engine: Engine, uploads: Uploads) -> None:
    first, second = Doubt(engine, "a", messages=2), Doubt(engine, "b", messages=2)
    batch = [message(0, 0), message(1, 0)]
    first.enter(batch)
    assert first.divide(batch) == ([], batch)
    assert len(uploads.execute("SELECT * FROM partitions_in_work")) == 2
    first.leave()
    assert uploads.execute("SELECT * FROM partitions_in_work") == []
    second.enter(batch)
    assert second.divide(batch) == ([], batch)


def test_who_comes_after_one_that_did_not_doubts_the_first_messages_of_its_partitions(
    engine: Engine, uploads: Uploads
) -> None:
    first, second = Doubt(engine, "a", messages=2), Doubt(engine, "b", messages=2)
    first.enter([message(0, 0)])
    batch = [message(0, 0), message(1, 0), message(0, 1), message(0, 2)]
    second.enter(batch)
    assert offsets(second.divide(batch)) == ([(0, 0), (0, 1)], [(1, 0), (0, 2)])
    assert offsets(second.divide([message(0, 3)])) == ([], [(0, 3)])
    first.leave()  # a zombie's: the partitions are another's by now
    assert {row.worker.split("/")[0] for row in uploads.execute("SELECT * FROM partitions_in_work")} == {"b"}
    second.leave()
    assert uploads.execute("SELECT * FROM partitions_in_work") == []


def test_doubt_lasts_over_several_batches_and_is_looked_into_once_an_assignment(engine: Engine) -> None:
    Doubt(engine, "a", messages=9).enter([message(0, 0)])
    second = Doubt(engine, "b", messages=3)
    for offset, in_doubt in enumerate((True, True, True, False)):
        batch = [message(0, offset)]
        second.enter(batch)
        assert second.divide(batch) == ((batch, []) if in_doubt else ([], batch))
    second.leave()
    batch = [message(0, 4, assignment=2)]
    second.enter(batch)
    assert second.divide(batch) == ([], batch)


def test_who_ends_by_an_error_is_doubted(engine: Engine, uploads: Uploads) -> None:
    first = Doubt(engine, "a", messages=2)
    first.enter([message(0, 0)])
    first.end_badly()
    first.leave()
    assert len(uploads.execute("SELECT * FROM partitions_in_work")) == 1


def test_an_absent_database_keeps_nobody_from_leaving(engine: Engine, uploads: Uploads) -> None:
    doubt = Doubt(engine, "a", messages=2)
    doubt.enter([message(0, 0)])
    uploads.execute("ALTER TABLE partitions_in_work RENAME TO gone")
    doubt.leave()


@contextmanager
def deadly(tmp_path: Path, database: str, broker: str, store: StorageSettings) -> Iterator[Process]:
    with process_of(
        "tests.integration.record_processor.deadly", tmp_path, database=database, broker=broker, storage=store
    ) as process:
        yield process


def until_it_is_dead(process: Process) -> None:
    running = process.running
    assert running
    servers.until(lambda: running.poll() is not None, seconds=60, what="the worker's end")
    assert running.returncode == -signal.SIGKILL


def test_a_chunk_that_kills_its_worker_is_found_out(
    uploads: Uploads, database_url: str, own_broker: servers.Server, store_settings: StorageSettings, tmp_path: Path
) -> None:
    upload, other = uploads.accept(), uploads.accept()
    uploads.note(upload, lanes=1)
    uploads.note(other, lanes=1)
    records = [member(number) for number in range(9)]
    records[4]["case_number"] = DEADLY
    chunks = chunks_of(csv_of(records), upload, chunk_records=3)
    beside = chunks_of(members(4, start=50), other, chunk_records=2)
    with deadly(tmp_path, database_url, own_broker.address, store_settings) as process:
        publish(own_broker.address, *map(received, chunks), *map(received, beside))
        until_it_is_dead(process)  # in a batch, of which nobody knows what did it
        assert uploads.ledger(upload) == []
        assert uploads.execute("SELECT * FROM chunk_attempts") == []
        for tries in (1, 2, 3):
            process.start(wait=False)
            until_it_is_dead(process)
            (row,) = uploads.execute("SELECT chunk_number, tries, last_error FROM chunk_attempts")
            assert row == (1, tries, None)
            assert [row.chunk_number for row in uploads.ledger(upload)] == [0]
        process.start()
        servers.until(lambda: len(uploads.ledger(upload)) == 3 and len(uploads.loaded(other)) == 4, what="the end")
        assert process.leave() == 0
    assert [row.outcome for row in uploads.ledger(upload)] == ["loaded", "unprocessed", "loaded"]
    assert sorted(uploads.loaded(upload)) == [2, 3, 4, 8, 9, 10]
    (letter,) = uploads.execute("SELECT * FROM dead_letters")
    assert (letter.error_code, letter.tries, letter.chunk_number) == ("UNK_002", 3, 1)
    assert letter.reason == "its worker ended in the middle of it, 3 times"
    assert uploads.execute("SELECT * FROM chunk_attempts") == []
    assert uploads.execute("SELECT * FROM partitions_in_work") == []


@pytest.mark.parametrize("orderly", [True, False], ids=["it left", "it was killed"])
def test_only_after_a_bad_end_chunks_are_worked_one_by_one(
    uploads: Uploads, database_url: str, either_broker: servers.Broker, store_settings: StorageSettings, tmp_path: Path,
    *, orderly: bool,
) -> None:  # fmt: skip
    upload = uploads.accept()
    uploads.note(upload, lanes=1)
    uploads.execute("CREATE TABLE tried (chunk_number bigint)")
    uploads.execute("GRANT INSERT ON tried TO PUBLIC")
    uploads.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO tried VALUES (NEW.chunk_number); RETURN NULL; END $$"
    )
    uploads.execute("CREATE TRIGGER tell AFTER INSERT ON chunk_attempts FOR EACH ROW EXECUTE FUNCTION tell()")
    chunks = chunks_of(members(20), upload, chunk_records=2)
    with deadly(tmp_path, database_url, either_broker.address, store_settings) as process:
        publish(either_broker.address, received(chunks[0]))
        servers.until(lambda: len(uploads.ledger(upload)) == 1, what="the first chunk")
        if orderly:
            assert process.leave() == 0
        else:
            process.kill()
    with processing(database_url, either_broker.address):
        publish(either_broker.address, *map(received, chunks[1:]))
        servers.until(lambda: len(uploads.ledger(upload)) == 10, what="the others")
    tried = sorted(row.chunk_number for row in uploads.execute("SELECT * FROM tried"))
    assert tried == ([] if orderly else list(range(1, 10)))
    assert len(uploads.loaded(upload)) == 20
    assert uploads.execute("SELECT * FROM chunk_attempts") == []


def test_in_doubt_nothing_is_looked_at_that_names_no_chunk_of_ours(
    uploads: Uploads, database_url: str, own_broker: servers.Server
) -> None:
    upload = uploads.accept()
    uploads.note(upload, lanes=1)
    Doubt(uploads.owner, "dead", messages=1).enter([message(partition, 0) for partition in range(64)])
    first, second, third = chunks_of(members(6), upload, chunk_records=2)
    (strange,) = chunks_of(members(2), new_id())
    headless = replace(received(first), headers={"mine": "1"})
    with processing(database_url, own_broker.address):
        publish(own_broker.address, headless, received(strange), received(first), received(second, body=b"?"))
        publish(own_broker.address, received(third))
        servers.until(lambda: len(uploads.ledger(upload)) == 3, what="the end")
        aside = {one.headers["__connect.errors.stage"]: one for one in everything_in(own_broker.address, DEAD_LETTERS)}
    assert aside["VALUE_CONVERTER"].value == headless.value
    assert "has no header" in aside["VALUE_CONVERTER"].headers["__connect.errors.exception.message"]
    assert aside["TASK_PUT"].headers["upload_id"] == str(strange.upload_id)
    assert [row.outcome for row in uploads.ledger(upload)] == ["loaded", "unprocessed", "loaded"]
    (letter,) = uploads.execute("SELECT * FROM dead_letters")
    assert (letter.error_code, letter.chunk_number) == ("UNK_003", 1)
    assert uploads.execute("SELECT * FROM chunk_attempts") == []
