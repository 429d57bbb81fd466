"""An object store that goes away and comes back: uploads wait for it, and none fails.

Of a store that is there and cannot give one object, that upload alone fails.
"""

import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rowstream.runtime.service import Running
from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.integration.splitter.support import FACTS, FILE, SLICE, chunks_sent, closed, loaded_exactly
from tests.servers import until
from tests.services import announce, process_of, processing, splitting
from tests.uploads import Uploads, members

LONGER_THAN_FIVE_TRIES = 25.0
MOVES_SECONDS = 20.0
LARGE = 20_000
READING: dict[str, Any] = {**FACTS, "chunk_records": 500, "block_bytes": 65_536, "slots": 2, "small_slots": 1}
"""A file of 20,000 records is read in many blocks, and few uploads are in hand."""


@pytest.fixture
def line(toxiproxy: servers.Toxiproxy, object_store: servers.Server) -> servers.Line:
    return toxiproxy.line("store", object_store.address)


@pytest.fixture
def far_settings(line: servers.Line, store_settings: StorageSettings) -> StorageSettings:
    """How to reach the store through the line."""
    return store_settings.model_copy(update={"endpoint_url": f"http://{line.address}"})


@pytest.fixture
def far(far_settings: StorageSettings) -> S3Store:
    return S3Store(far_settings)


def says_that_it_waits(splitter: Running) -> bool:
    return any(why.startswith("storage: ") and "does not answer" in why for why in splitter.health.waiting_for)


def test_an_outage_fails_no_upload_and_delays_each_by_little_more_than_itself(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, far: S3Store, line: servers.Line
) -> None:
    middle = uploads.accept_file(store, members(LARGE))
    waiting = [uploads.accept_file(store, members(10, start=LARGE + 10 * number)) for number in range(10)]
    everything = [middle, *waiting]
    line.poison("bandwidth", rate=200)  # kilobytes a second: most of the file is still to come when the line is cut
    with splitting(database_url, module_broker, far, **READING) as splitter:
        announce(module_broker, middle)
        until(lambda: len(chunks_sent(module_broker, middle)) == 4, what="a full window")
        line.cut()
        announce(module_broker, *waiting)
        with processing(database_url, module_broker):
            until(lambda: says_that_it_waits(splitter), what="the reason in the readiness")
            until(lambda: uploads.split(middle).holder is None, seconds=40, what="the upload to be let go of")
            time.sleep(LONGER_THAN_FIVE_TRIES)
            epochs = [uploads.split(upload).epoch for upload in everything]
            assert says_that_it_waits(splitter)
            assert [uploads.split(upload).closed_at for upload in everything] == [None] * len(everything)
            assert max(epochs) <= 2, "leases are taken again and again, for nothing"
            line.mend()
            for upload in waiting:
                closed(uploads, upload, seconds=MOVES_SECONDS)
            closed(uploads, middle, seconds=60)
            assert splitter.health.waiting_for == []
    assert [uploads.split(upload).failure_code for upload in everything] == [None] * len(everything)
    assert sorted(uploads.loaded(middle)) == list(range(2, LARGE + 2))
    assert [len(uploads.loaded(upload)) for upload in waiting] == [10] * len(waiting)


def test_a_splitter_that_is_cut_off_leaves_its_uploads_to_one_that_is_not(
    uploads: Uploads,
    database_url: str,
    own_broker: servers.Server,
    store: S3Store,
    far: S3Store,
    line: servers.Line,
) -> None:
    broker = own_broker.address
    upload = uploads.accept_file(store, FILE)
    line.cut()
    with splitting(database_url, broker, far, **FACTS) as cut_off:
        announce(broker, upload)
        until(lambda: says_that_it_waits(cut_off), what="the reason in the readiness")
        with splitting(database_url, broker, store, **FACTS) as other, processing(database_url, broker):
            closed(uploads, upload)
            assert not says_that_it_waits(other)
            assert says_that_it_waits(cut_off)
    loaded_exactly(uploads, upload)


def test_what_is_asked_for_meanwhile_is_done(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, far: S3Store, line: servers.Line
) -> None:
    paused, cancelled, goes_on = (uploads.accept_file(store, FILE) for _ in range(3))
    line.cut()
    with splitting(database_url, module_broker, far, **FACTS) as splitter, processing(database_url, module_broker):
        announce(module_broker, paused, cancelled, goes_on)
        until(lambda: says_that_it_waits(splitter), what="the reason in the readiness")
        uploads.request(paused, "pause")
        uploads.request(cancelled, "cancel")
        uploads.change(cancelled, status="cancelled")
        assert closed(uploads, cancelled, seconds=10).failure_code is None  # while the store is away
        line.mend()
        closed(uploads, goes_on, seconds=MOVES_SECONDS)
        assert (uploads.split(paused).holder, uploads.split(paused).closed_at) == (None, None)
        uploads.request(paused, "run")
        assert closed(uploads, paused).failure_code is None
    assert uploads.lanes(cancelled) == []


def test_asked_to_leave_while_the_store_is_away_it_leaves_at_once_and_fails_nothing(
    uploads: Uploads,
    database_url: str,
    module_broker: str,
    store: S3Store,
    far_settings: StorageSettings,
    line: servers.Line,
    tmp_path: Path,
) -> None:
    upload = uploads.accept_file(store, FILE)
    line.cut()
    with process_of(
        "splitter", tmp_path, database=database_url, broker=module_broker, storage=far_settings, facts=SLICE
    ) as splitter:
        announce(module_broker, upload)
        until(lambda: splitter.readiness()[0] == 503, what="not to be ready")
        assert [why.partition(":")[0] for why in splitter.readiness()[1]] == ["storage"]
        assert splitter.metric("rowstream_waiting") == 1
        asked = time.monotonic()
        assert splitter.leave() == 0
        assert time.monotonic() - asked < 5
        words = [line_["event"] for line_ in splitter.log_lines()]
    assert words.count("the object store is away: uploads wait") == 1
    row = uploads.split(upload)
    assert (row.closed_at, row.holder) == (None, None)


def test_an_object_that_alone_cannot_be_read_fails_its_upload_and_no_other(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splitter.slots._STORE_TRIES", 2)
    good = uploads.accept_file(store, FILE)
    row = uploads.upload(good)
    bad = uploads.accept(stored=(row.s3_key, row.etag, row.size_bytes + 1))  # no answer is ever as long as this
    with splitting(database_url, module_broker, store, **FACTS) as splitter, processing(database_url, module_broker):
        announce(module_broker, bad, good)
        failed = closed(uploads, bad)
        assert splitter.health.waiting_for == []
        closed(uploads, good)
    assert failed.failure_code == "S3_001"
    assert "tried 2 times" in failed.failure_message
    loaded_exactly(uploads, good)


def test_a_store_that_refuses_is_not_away(
    uploads: Uploads,
    database_url: str,
    module_broker: str,
    versitygw: servers.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("splitter.slots._STORE_TRIES", 2)
    strict = servers.storage_settings(versitygw)
    wrong = S3Store(strict.model_copy(update={"secret_access_key": SecretStr("wrong")}))
    upload = uploads.accept_file(S3Store(strict), FILE)
    with splitting(database_url, module_broker, wrong, **FACTS) as splitter:
        announce(module_broker, upload)
        row = closed(uploads, upload)
        assert splitter.health.waiting_for == []
    assert row.failure_code == "S3_001"
    assert "refused s3://" in row.failure_message
    assert "SignatureDoesNotMatch" in row.failure_message
    assert "credentials" in row.failure_message


def test_a_bucket_that_is_not_there_is_not_away(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept(stored=("k", "e", 10), s3_bucket="nobody-made-it")
    with splitting(database_url, module_broker, store) as splitter:
        announce(module_broker, upload)
        assert closed(uploads, upload).failure_code == "S3_002"
        assert splitter.health.waiting_for == []
