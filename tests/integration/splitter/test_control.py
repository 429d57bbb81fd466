"""Uploads that are paused, resumed, cancelled and retried, while a splitter has them and while they wait."""

from typing import Any
from uuid import UUID

import pytest

from rowstream.storage.s3 import S3Store
from tests.integration.splitter.support import COUNT, FACTS, FILE, chunks_sent, closed, loaded_exactly
from tests.servers import until
from tests.services import announce, processing, splitting
from tests.uploads import Uploads, members

ONE_LANE: dict[str, Any] = {**FACTS, "lane_bytes": 10**9}
"""Twenty chunks of fifty rows in the file's order."""


def holder_of(uploads: Uploads, upload: UUID) -> str | None:
    row = uploads.split(upload)
    return row.holder if row else None


def looked(uploads: Uploads, store: S3Store, broker: str) -> None:
    """Wait until splitters have looked for work at least once more: a later upload has been taken and ended."""
    later = uploads.accept_file(store, members(1, start=10**6))
    announce(broker, later)
    until(lambda: uploads.lanes(later) != [], what="the plan of a later upload")
    uploads.change(later, status="cancelled")
    closed(uploads, later)


def leave_unprocessed(uploads: Uploads, upload: UUID, *chunk_numbers: int) -> None:
    """Make it so that the first attempt has given up on these chunks, of one lane, and has failed."""
    for number in chunk_numbers:
        uploads.execute(
            "DELETE FROM member_certifications m USING processed_chunks p"
            " WHERE p.batch_upload_id = :id AND p.chunk_number = :number"
            " AND m.batch_upload_id = p.batch_upload_id AND m.row_number BETWEEN p.first_row AND p.last_row",
            id=upload,
            number=number,
        )
        uploads.execute(
            "UPDATE processed_chunks SET outcome = 'unprocessed', succeeded_records = 0, unprocessed_records = records"
            " WHERE batch_upload_id = :id AND chunk_number = :number",
            id=upload,
            number=number,
        )
    uploads.change(upload, status="failed")


def retry(uploads: Uploads, upload: UUID) -> None:
    uploads.change(upload, status="pending", attempt=2)


def test_paused_while_it_waits_it_is_not_taken_until_it_is_resumed(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    uploads.request(upload, "pause")
    with splitting(database_url, module_broker, store, **FACTS), processing(database_url, module_broker):
        announce(module_broker, upload)
        until(lambda: uploads.split(upload) is not None, what="the note")
        looked(uploads, store, module_broker)
        assert uploads.split(upload).epoch == 0
        uploads.request(upload, "run")
        closed(uploads, upload)
    loaded_exactly(uploads, upload)


def test_paused_in_the_middle_it_is_let_go_of_and_goes_on_where_it_stood(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, lease_seconds=60.0, **ONE_LANE):
        announce(module_broker, upload)
        until(lambda: len(chunks_sent(module_broker, upload)) == 4, what="a full window")
        uploads.request(upload, "pause")
        until(lambda: holder_of(uploads, upload) is None, what="the end of the lease")
        with processing(database_url, module_broker):  # drops what is on its way
            looked(uploads, store, module_broker)
            assert holder_of(uploads, upload) is None
            assert uploads.ledger(upload) == []
            uploads.request(upload, "run")
            until(lambda: len(uploads.ledger(upload)) >= 8, what="movement")
            uploads.request(upload, "pause")
            until(lambda: holder_of(uploads, upload) is None, what="the end of the lease")
            uploads.request(upload, "run")
            closed(uploads, upload)
    loaded_exactly(uploads, upload)


def test_cancelled_in_the_middle_or_while_it_waits_its_split_is_closed(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    held, waits = uploads.accept_file(store, FILE), uploads.accept_file(store, FILE)
    uploads.request(waits, "pause")
    with splitting(database_url, module_broker, store, lease_seconds=60.0, **FACTS):
        announce(module_broker, held, waits)
        until(lambda: len(chunks_sent(module_broker, held)) == 4, what="a full window")
        for upload in (held, waits):
            uploads.request(upload, "cancel")
        until(lambda: holder_of(uploads, held) is None, what="the end of the lease")
        for upload in (held, waits):
            uploads.change(upload, status="cancelled")
        assert [closed(uploads, upload).failure_code for upload in (held, waits)] == [None, None]
    assert uploads.split(waits).epoch == 0


@pytest.mark.parametrize("told", [True, False], ids=["told", "found by looking"])
def test_a_retried_upload_sends_again_what_was_left_unprocessed_and_nothing_else(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store, *, told: bool
) -> None:
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, **ONE_LANE):
        with processing(database_url, module_broker):
            announce(module_broker, upload)
            before = closed(uploads, upload)
        leave_unprocessed(uploads, upload, 3, 4, 19)
        retry(uploads, upload)
        if told:
            announce(module_broker, upload)
        until(lambda: uploads.split(upload).split_at is not None and uploads.split(upload).attempt == 2, what="a split")
        assert uploads.split(upload).closed_at is None  # it waits for the ledger
        with processing(database_url, module_broker):
            after = closed(uploads, upload)
    loaded_exactly(uploads, upload)
    assert (after.plan, after.chunks, after.records) == (before.plan, 20, COUNT)
    assert after.epoch > before.epoch
    attempts = {row.chunk_number: (row.attempt, row.outcome) for row in uploads.ledger(upload)}
    assert attempts == {n: (2 if n in (3, 4, 19) else 1, "loaded") for n in range(20)}
    sent = chunks_sent(module_broker, upload)
    assert {n for n, chunks in sent.items() if any(chunk.attempt == 2 for chunk in chunks)} == {3, 4, 19}


def test_a_retried_upload_goes_on_where_the_first_attempt_was_stopped(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, lease_seconds=60.0, **ONE_LANE):
        announce(module_broker, upload)
        with processing(database_url, module_broker, batch_chunks=1):
            until(lambda: len(uploads.ledger(upload)) >= 6, what="some ledger rows")
            uploads.change(upload, status="failed")
            closed(uploads, upload)
        leave_unprocessed(uploads, upload, 2)
        retry(uploads, upload)
        announce(module_broker, upload)
        with processing(database_url, module_broker):
            until(lambda: uploads.split(upload).attempt == 2, what="another attempt")
            closed(uploads, upload)
    loaded_exactly(uploads, upload)


def test_a_retry_of_another_file_than_the_first_is_refused(
    uploads: Uploads, database_url: str, module_broker: str, store: S3Store
) -> None:
    upload = uploads.accept_file(store, FILE)
    with splitting(database_url, module_broker, store, **ONE_LANE), processing(database_url, module_broker):
        announce(module_broker, upload)
        closed(uploads, upload)
        leave_unprocessed(uploads, upload, 5)
        uploads.execute(
            "UPDATE processed_chunks SET digest = 'another' WHERE batch_upload_id = :id AND chunk_number = 5",
            id=upload,
        )
        retry(uploads, upload)
        announce(module_broker, upload)
        until(lambda: uploads.split(upload).attempt == 2, what="another attempt")
        row = closed(uploads, upload)
    assert row.failure_code == "UNK_001"
    assert "is not the one that was processed before" in row.failure_message
