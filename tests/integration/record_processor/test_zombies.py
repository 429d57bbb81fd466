"""A processor frozen in the middle of its transaction is out of the way soon, and does no harm when it wakes."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psutil
import pytest
from sqlalchemy import text

from record_processor.process import Processor
from record_processor.recover import settle
from rowstream.database.keys import DEFAULT_ORGANIZATION
from tests import servers
from tests.integration.record_processor.test_process import noted
from tests.integration.record_processor.test_recover import Waits, hands
from tests.uploads import MEMBERS, Uploads, chunks_of, members

COUNT = 50


@contextmanager
def frozen(url: str, upload: UUID, place: str) -> Iterator[subprocess.Popen[str]]:
    """A processor that has stopped at this place of its transaction."""
    program = [sys.executable, "-m", "tests.integration.record_processor.zombie", url, str(upload), str(COUNT), place]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        status = psutil.Process(process.pid).status
        servers.until(lambda: status() == psutil.STATUS_STOPPED, seconds=60.0, what="the freezing")
        yield process
    finally:
        process.kill()
        process.wait()


def wake(process: subprocess.Popen[str]) -> list[str]:
    """Let it go on to its end; what it said."""
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.splitlines()


@pytest.mark.parametrize("place", ["copy", "ledger"])
def test_one_that_holds_a_lane_is_ended_and_wakes_up_to_find_its_work_done(
    uploads: Uploads, processor: Processor, database_url: str, place: str
) -> None:
    upload = noted(uploads)
    with frozen(database_url, upload, place) as zombie:
        started = time.monotonic()
        waits = Waits()
        (result,) = settle(processor, hands(chunks_of(members(COUNT), upload)), MEMBERS, pause=waits).results
        assert time.monotonic() - started > 0.8  # a patience of one second,
        assert waits.reasons == []  # which is over before lock_timeout's two
        assert (result.worker, result.succeeded_records) == ("host/1", COUNT)
        before = uploads.loaded(upload), uploads.ledger(upload)
        said = wake(zombie)
    assert said[0].startswith("waited")
    assert said[-1] == f"result host/1 {COUNT} 0"
    assert (uploads.loaded(upload), uploads.ledger(upload)) == before


def test_one_that_holds_only_keys_is_ended_as_well(uploads: Uploads, processor: Processor, database_url: str) -> None:
    theirs, ours = noted(uploads), noted(uploads)
    with frozen(database_url, theirs, "ledger") as zombie:
        settle(processor, hands(chunks_of(members(COUNT), ours)), MEMBERS, pause=Waits())
        assert len(uploads.loaded(ours)) == COUNT
        said = wake(zombie)
    assert said[-1] == f"result zombie 0 {COUNT}"
    assert uploads.loaded(theirs) == {}
    assert f"of upload {ours}" in uploads.rejected(theirs)[2].error_message


def test_a_session_that_is_not_ours_is_never_ended(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    (hand,) = hands(chunks_of(members(2), upload))
    with uploads.owner.connect() as stranger, stranger.begin() as transaction:
        stranger.execute(text("SELECT FROM upload_lanes FOR UPDATE"))
        waits = Waits(transaction.rollback, at=1)
        started = time.monotonic()
        settle(processor, [hand], MEMBERS, pause=waits)
        assert waits.reasons == ["LockNotAvailable (55P03)"]
        assert time.monotonic() - started > 1.9
    assert len(uploads.loaded(upload)) == 2


def test_a_processor_that_only_works_for_long_is_left_alone(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    uploads.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(1.6); RETURN NULL; END $$"
    )
    uploads.execute("CREATE TRIGGER linger AFTER INSERT ON processed_chunks EXECUTE FUNCTION linger()")
    waits = Waits()
    settle(processor, hands(chunks_of(members(2), upload)), MEMBERS, pause=waits)
    assert waits.reasons == []
    assert uploads.upload(upload).organization_id == DEFAULT_ORGANIZATION
    assert len(uploads.loaded(upload)) == 2
