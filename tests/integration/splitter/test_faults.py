"""Splitters that are killed, frozen and asked to leave, and brokers and stores that fail them in the middle."""

import io
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import S3Store
from splitter.reader import open_reading
from tests import servers
from tests.integration.splitter.support import COUNT, FACTS, FILE, SLICE, chunks_sent, closed, loaded_exactly
from tests.servers import BUCKET, until
from tests.services import Process, announce, kept_going, process_of, processing, splitting
from tests.uploads import Uploads, members


# Where a member vanishes, the embedded broker may let nobody into its group again (ADR 0011), so such tests share none.
@contextmanager
def in_the_middle(
    uploads: Uploads, ids: list[UUID], folder: Path, *, database: str, broker: str, storage: StorageSettings
) -> Iterator[Process]:
    """A splitter process that has sent a window's worth of each upload and cannot go on, since nobody processes."""
    facts = {**SLICE, "SPLITTER__SLOTS": str(len(ids))}
    with process_of("splitter", folder, database=database, broker=broker, storage=storage, facts=facts) as splitter:
        announce(broker, *ids)
        for upload in ids:
            until(lambda upload=upload: len(chunks_sent(broker, upload)) == 4, what="a full window")  # type: ignore[misc]
            assert uploads.split(upload).split_at is None
        yield splitter


def test_killed_in_the_middle_another_goes_on_with_the_same_chunks_or_says_that_it_cannot(
    uploads: Uploads,
    database_url: str,
    own_broker: servers.Broker,
    store: S3Store,
    store_settings: StorageSettings,
    tmp_path: Path,
) -> None:
    ids = [uploads.accept_file(store, FILE) for _ in range(4)]
    upload, replaced, other_chunk, other_header = ids
    broker = own_broker.address
    with in_the_middle(uploads, ids, tmp_path, database=database_url, broker=broker, storage=store_settings) as first:
        first.kill()
        before = chunks_sent(broker, upload)
    store.put(BUCKET, uploads.upload(replaced).s3_key, io.BytesIO(members(COUNT, start=1)))
    with processing(database_url, broker, batch_chunks=1):
        until(lambda: len(uploads.ledger(other_chunk)) >= 1, what="a ledger row")
    uploads.execute("UPDATE processed_chunks SET digest = 'another' WHERE batch_upload_id = :id", id=other_chunk)
    uploads.execute(
        "UPDATE upload_splits SET plan = jsonb_set(plan, '{columns,0,header}', to_jsonb(CAST('other' AS text)))"
        " WHERE batch_upload_id = :id",
        id=other_header,
    )
    # With other settings, which count for uploads that are not planned yet.
    with (
        splitting(database_url, broker, store, chunk_records=7, slots=4),
        processing(database_url, broker),
    ):
        rows = {one: closed(uploads, one) for one in ids}

    row = rows[upload]
    assert (row.failure_code, row.records) == (None, COUNT)
    assert row.epoch > 1
    after = chunks_sent(broker, upload)
    assert len(after) == row.chunks
    assert all(len({(chunk.digest, chunk.records, chunk.first_row) for chunk in sent}) == 1 for sent in after.values())
    again = [number for number in before if len(after[number]) > 1]
    assert all(after[number][-1].epoch > before[number][0].epoch for number in again)
    assert after[0][0].record_count == 50

    assert rows[replaced].failure_code == "S3_003"
    assert "was replaced" in rows[replaced].failure_message
    assert rows[other_chunk].failure_code == rows[other_header].failure_code == "UNK_001"
    assert "is not the one that was processed before" in rows[other_chunk].failure_message
    assert "header is not the one that was read before" in rows[other_header].failure_message


def test_frozen_and_woken_it_finds_the_upload_taken_and_does_no_harm(
    uploads: Uploads,
    database_url: str,
    own_broker: servers.Broker,
    store: S3Store,
    store_settings: StorageSettings,
    tmp_path: Path,
) -> None:
    upload, broker = uploads.accept_file(store, FILE), own_broker.address
    with in_the_middle(
        uploads, [upload], tmp_path, database=database_url, broker=broker, storage=store_settings
    ) as zombie:
        zombie.signal(signal.SIGSTOP)
        with splitting(database_url, broker, store), processing(database_url, broker):
            row = closed(uploads, upload)
            zombie.signal(signal.SIGCONT)
            until(lambda: zombie.metric("rowstream_splitter_leases") == 0, what="the zombie's insight")
        assert uploads.split(upload) == row
        loaded_exactly(uploads, upload)
        assert zombie.leave() == 0
        lines = zombie.log_lines()
    assert lines[-1]["event"] == "stopped"
    assert {line["service"] for line in lines} == {"splitter"}
    assert {line["correlation_id"] for line in lines if line["event"] == "splitting"} == {f"c-{upload}"}


def test_asked_to_leave_it_gives_the_lease_back_at_once(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, lease_seconds=60.0, **FACTS):
        announce(module_broker, upload)
        until(lambda: len(chunks_sent(module_broker, upload)) == 4, what="a full window")
        assert uploads.split(upload).holder is not None
    row = uploads.split(upload)
    assert (row.holder, row.lease_until, row.closed_at) == (None, None, None)
    with splitting(database_url, module_broker, store), processing(database_url, module_broker):
        closed(uploads, upload, seconds=20)
    loaded_exactly(uploads, upload)


def test_a_broker_that_restarts_empty_in_the_middle_delays_the_upload_and_nothing_else(
    uploads: Uploads,
    database_url: str,
    either_broker: servers.Broker,
    store: S3Store,
    store_settings: StorageSettings,
    tmp_path: Path,
) -> None:
    upload = uploads.accept_file(store, FILE)
    broker = either_broker.address
    facts = {**SLICE, "SPLITTER__STALL_SECONDS": "3"}
    with (
        process_of(
            "splitter", tmp_path, database=database_url, broker=broker, storage=store_settings, facts=facts
        ) as splitter,
        process_of(
            "record_processor", tmp_path, database=database_url, broker=broker, storage=store_settings, start=False
        ) as processor,
        kept_going(splitter, processor),
    ):
        announce(broker, upload)
        until(lambda: len(chunks_sent(broker, upload)) == 4, what="a full window")
        either_broker.kill()  # with what was sent, and nothing of it processed
        either_broker.lose_log()
        time.sleep(0.5)
        either_broker.start()
        processor.start(wait=False)
        until(lambda: len(uploads.ledger(upload)) >= 3, seconds=60, what="movement")
        either_broker.kill()  # and again, under way
        either_broker.lose_log()
        either_broker.start()
        closed(uploads, upload, seconds=90)
    loaded_exactly(uploads, upload)


def test_without_its_topic_an_upload_waits(
    uploads: Uploads, database_url: str, own_broker: servers.Server, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploads.accept_file(store, FILE)
    monkeypatch.setattr("splitter.split.CHUNKS", "not.there.yet")
    with splitting(database_url, own_broker.address, store, **FACTS), processing(database_url, own_broker.address):
        announce(own_broker.address, upload)
        until(lambda: (row := uploads.split(upload)) is not None and row.epoch >= 2, what="another try")
        assert uploads.split(upload).plan is None
        monkeypatch.undo()
        closed(uploads, upload)
    loaded_exactly(uploads, upload)


def test_a_slot_that_fails_ends_the_service_with_its_error(
    database_url: str,
    module_broker: str,
    store: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this: Anna")

    failed: list[BaseException] = []
    monkeypatch.setattr("threading.excepthook", lambda args: failed.append(args.exc_value))
    monkeypatch.setattr("splitter.slots.Lease.take", fail)
    with splitting(database_url, module_broker, store, ready=False) as running:
        assert running.stop.wait(10)
    assert [type(error) for error in failed] == [RuntimeError]
    said = "".join(capfd.readouterr())
    assert "a slot failed" in said
    assert "Anna" not in said


def test_whatever_goes_wrong_in_splitting_fails_that_upload_alone(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(stream: Any, record_type: Any, limits: Any, block_bytes: int, **facts: Any) -> Any:
        if stream._stream._key == uploads.upload(bad).s3_key:
            raise ValueError("a cell of Anna's")
        return open_reading(stream, record_type, limits, block_bytes, **facts)

    bad, good = uploads.accept_file(store, FILE), uploads.accept_file(store, FILE)
    monkeypatch.setattr("splitter.split.open_reading", fail_once)
    with splitting(database_url, module_broker, store), processing(database_url, module_broker):
        announce(module_broker, bad, good)
        row = closed(uploads, bad)
        closed(uploads, good)
    assert row.failure_code == "UNK_001"
    assert "ValueError" in row.failure_message
    assert "Anna" not in row.failure_message
    loaded_exactly(uploads, good)


def test_it_starts_before_its_database_is_migrated_and_says_what_it_waits_for(
    postgres: servers.Postgres, module_broker: str, store_settings: StorageSettings, tmp_path: Path
) -> None:
    with process_of(
        "splitter", tmp_path, database=postgres.url("postgres"), broker=module_broker, storage=store_settings,
        start=False,
    ) as splitter:  # fmt: skip
        splitter.start(wait=False)
        until(lambda: splitter.readiness()[0] == 503, what="an answer")
        until(lambda: any("rowstream migrate" in why for why in splitter.readiness()[1]), what="the reason")
        assert splitter.leave() == 0


@pytest.mark.parametrize("name", ["splitter", "record_processor"])
def test_a_wrong_setting_is_told_in_one_line(
    name: str, database_url: str, module_broker: str, store_settings: StorageSettings, tmp_path: Path
) -> None:
    wrong = {"SPLITTER__CHUNK_BYTES": "900000", "PROCESSOR__BATCH_CHUNKS": "0"}
    with process_of(
        name, tmp_path, database=database_url, broker=module_broker, storage=store_settings, start=False, facts=wrong
    ) as service:
        service.start(wait=False)
        assert service.running
        assert service.running.wait(20) == 1
        (line,) = service.log.read_text().splitlines()
        assert line.startswith(f"{name}: ")
        assert "ROWSTREAM_SPLITTER__CHUNK_BYTES" in line or "ROWSTREAM_PROCESSOR__BATCH_CHUNKS" in line
