"""What a splitter holds stays bounded: beside many large files, before processors that do nothing, with bad records."""

import io
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from rowstream.database.hold import hold, release
from rowstream.ids import new_id
from rowstream.runtime.settings import StorageSettings
from rowstream.storage.s3 import S3Store
from tests.integration.splitter.support import FACTS, FILE, chunks_sent, closed, loaded_exactly
from tests.servers import BUCKET, until
from tests.services import announce, process_of, processing, splitting
from tests.uploads import HEADER, Uploads, members
from tests.whole_system import peak_megabytes

MEGABYTES = 450
"""What DESIGN §8 lets a worker take at its peak."""


def test_ten_large_uploads_advance_together_within_the_memory_of_one(
    uploads: Uploads,
    database_url: str,
    module_broker: str,
    store: S3Store,
    store_settings: StorageSettings,
    tmp_path: Path,
) -> None:
    key = f"raw/{new_id()}"
    found = store.put(BUCKET, key, io.BytesIO(members(20_000)))
    ids = [uploads.accept(stored=(key, found.etag, found.size)) for _ in range(10)]
    slice_ = {"SPLITTER__LANE_BYTES": "500000", "SPLITTER__POLL_SECONDS": "0.2"}
    with process_of(
        "splitter", tmp_path, database=database_url, broker=module_broker, storage=store_settings, facts=slice_
    ) as splitter:
        with processing(database_url, module_broker):
            announce(module_broker, *ids)
            until(lambda: any(_is_closed(uploads, one) for one in ids), seconds=200, what="the first end")
            settled = [len(uploads.ledger(one)) for one in ids]
        assert min(settled) > 0, f"one waits for the others: {settled}"
        assert splitter.running
        assert peak_megabytes(splitter.running.pid) < MEGABYTES


def _is_closed(uploads: Uploads, upload: UUID) -> bool:
    row = uploads.split(upload)
    return row is not None and row.closed_at is not None


BAD_LINE = "," * (len(HEADER) + 3) + "x" * 3_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("\n".join([",".join(HEADER), *[BAD_LINE] * 4_000]).encode(), id="nothing but errors"),
        pytest.param(members(40_000), id="good records"),
    ],
)
def test_while_nobody_processes_it_sends_as_much_as_its_budget_says_and_waits(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, data: bytes
) -> None:
    upload = uploads.accept_file(store, data)
    with splitting(database_url, module_broker, store, buffer_bytes=1_000_000, queue_seconds=60.0) as running:
        announce(module_broker, upload)
        until(lambda: len(chunks_sent(module_broker, upload)) >= 1, what="a chunk")
        assert not running.stop.wait(3)
        sent = chunks_sent(module_broker, upload)
        assert uploads.split(upload).split_at is None, "the file was read to its end"
    size = sum(len(one.records) + sum(len(bad["raw"]) for bad in one.rejections) for [one] in sent.values())
    assert size < 1_000_000 + 2 * 450_000


def test_a_database_that_was_away_for_a_moment_is_not_waited_for_until_the_upload_ends(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    busy = {**FACTS, "slots": 1, "small_slots": 0}
    with splitting(database_url, module_broker, store, **busy) as running:
        announce(module_broker, upload)
        until(lambda: len(chunks_sent(module_broker, upload)) >= 1, what="a chunk")
        running.health.waiting("database", "the connection was lost")
        until(lambda: running.health.waiting_for == [], what="readiness")
        assert uploads.split(upload).closed_at is None, "the slot was not busy all the while"


def test_while_it_is_asked_to_hold_back_it_sends_nothing_new_and_then_goes_on(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, engine: Engine
) -> None:
    upload = uploads.accept_file(store, FILE)
    hold(uploads.owner, "a test", seconds=60.0)
    with splitting(database_url, module_broker, store, **FACTS), processing(database_url, module_broker):
        announce(module_broker, upload)
        until(lambda: uploads.lanes(upload) != [], what="the plan")
        hold(uploads.owner, "another", seconds=60.0)
        release(uploads.owner, "a test")
        assert chunks_sent(module_broker, upload) == {}
        hold(uploads.owner, "another", seconds=0.5)  # ends by itself
        closed(uploads, upload)
    loaded_exactly(uploads, upload)
    with engine.connect() as connection:  # a splitter may look
        assert connection.execute(text("SELECT name FROM sending_hold")).scalars().all() == ["another"]
