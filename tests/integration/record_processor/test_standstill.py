"""A record type whose table is not as it should be stands still, and nobody and nothing else does."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from record_processor import standstill
from record_processor.process import Processor
from record_processor.recover import settle, settle_alone
from rowstream.database import standstills
from rowstream.kafka.topics import CHUNKS
from rowstream.runtime.logging import configure_logging
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.integration.record_processor.system import System, system_of
from tests.integration.record_processor.test_process import hands, noted
from tests.integration.record_processor.test_recover import Waits, never, raising
from tests.integration.record_processor.test_service import STATIONS
from tests.servers import until
from tests.services import announce, everything_in, processing, publish, splitting
from tests.uploads import MEMBERS, Uploads, chunks_of, members, received

WAYS = pytest.mark.parametrize(
    ("meddle", "mend", "state"),
    [
        (
            "ALTER TABLE member_certifications RENAME TO gone",
            "ALTER TABLE gone RENAME TO member_certifications",
            "42P01",
        ),
        (
            "ALTER TABLE member_certifications RENAME work_hours TO gone",
            "ALTER TABLE member_certifications RENAME gone TO work_hours",
            "42703",
        ),
        (
            "ALTER TABLE member_certifications OWNER TO postgres",
            "ALTER TABLE member_certifications OWNER TO rowstream_processor",
            "42501",
        ),
    ],
    ids=["no table", "no column", "no right"],
)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands still is tried whenever it comes."""
    monkeypatch.setattr(standstill, "AGAIN_SECONDS", 0.05)


def is_untouched(uploads: Uploads, upload: UUID) -> None:
    """As if none of its chunks had come: no outcome, no try, no gap, so that the splitter sends what is missing."""
    assert uploads.ledger(upload) == []
    assert uploads.execute("SELECT * FROM chunk_attempts") == uploads.execute("SELECT * FROM dead_letters") == []
    assert {(next_seq, gap_epoch) for _, next_seq, gap_epoch in uploads.lanes(upload)} == {(0, -1)}


@WAYS
def test_what_needs_the_table_is_dropped_and_goes_on_when_it_comes_again(
    uploads: Uploads, processor: Processor, meddle: str, mend: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = noted(uploads)
    chunks = hands(chunks_of(members(6), upload, chunk_records=2))
    uploads.execute(meddle)
    assert settle(processor, chunks[:1], MEMBERS, pause=never).results == []
    assert settle(processor, chunks[1:], MEMBERS, pause=never).results == []  # and what is behind it
    is_untouched(uploads, upload)
    ((name, why),) = processor.standstill.look()
    assert name == MEMBERS.name
    assert state in (why or "")
    assert "member_certifications" in (why or "")
    uploads.execute(mend)
    monkeypatch.setattr(standstill, "AGAIN_SECONDS", 0.0)
    assert len(settle(processor, chunks, MEMBERS, pause=never).results) == 3
    assert len(uploads.loaded(upload)) == 6
    assert list(processor.standstill.look()) == [(MEMBERS.name, None)]
    assert list(processor.standstill.look()) == []


@WAYS
def test_chunk_by_chunk_it_costs_no_try(
    uploads: Uploads, processor: Processor, meddle: str, mend: str, state: str
) -> None:
    upload = noted(uploads)
    (hand,) = hands(chunks_of(members(2), upload))
    uploads.execute(meddle)
    for _ in range(processor.attempts.most + 1):
        assert settle_alone(processor, hand, MEMBERS, pause=never).results == []
    is_untouched(uploads, upload)
    assert state in "".join(why or "" for _, why in processor.standstill.look())
    uploads.execute(mend)


def test_tries_that_were_made_before_are_kept(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    (hand,) = hands(chunks_of(members(2), upload))
    first = processor.attempts.begin(hand)
    processor.attempts.note(hand, "DB_002 InternalError_ (XX000)")
    uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    settle_alone(processor, hand, MEMBERS, pause=never)
    assert first
    assert uploads.execute("SELECT tries, last_error FROM chunk_attempts") == [(1, "DB_002 InternalError_ (XX000)")]


def test_a_trigger_of_the_table_that_lacks_something_is_the_tables_own_trouble(
    uploads: Uploads, processor: Processor
) -> None:
    late, now = noted(uploads), noted(uploads)
    raising(uploads, 1, "42P01")
    assert settle(processor, hands(chunks_of(members(2), now)), MEMBERS, pause=never).results == []
    uploads.execute("DROP TRIGGER raising ON member_certifications")
    uploads.execute(
        "CREATE CONSTRAINT TRIGGER raising AFTER INSERT ON member_certifications DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION raising()"
    )
    assert settle(processor, hands(chunks_of(members(2), late)), MEMBERS, pause=never).results == []
    is_untouched(uploads, now)
    is_untouched(uploads, late)


def test_what_the_ledger_has_is_told_again_all_the_same(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    chunks = hands(chunks_of(members(4), upload, chunk_records=2))
    (first,) = settle(processor, chunks[:1], MEMBERS, pause=never).results
    uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    assert settle(processor, chunks, MEMBERS, pause=never).results == [first]
    assert uploads.lanes(upload) == [(0, 1, -1)]


@pytest.mark.usefixtures("at_once")
def test_it_is_logged_now_and_then_and_not_each_time(
    uploads: Uploads, processor: Processor, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("test")
    upload = noted(uploads)
    chunks = hands(chunks_of(members(20), upload, chunk_records=2))
    uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    for hand in chunks:
        settle(processor, [hand], MEMBERS, pause=never)
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert line["event"] == "a record type stands still"
    assert (line["record_type"], line["table"]) == (MEMBERS.name, "member_certifications")
    assert line["reason"] == "UndefinedTable (42P01)"


def test_a_query_that_takes_too_long_costs_tries_and_is_not_waited_for(uploads: Uploads, processor: Processor) -> None:
    upload = noted(uploads)
    raising(uploads, 1, "57014")
    waits = Waits()
    settle(processor, hands(chunks_of(members(6), upload, chunk_records=2)), MEMBERS, pause=waits)
    assert waits.reasons == ["QueryCanceled (57014)"] * 2
    assert [row.outcome for row in uploads.ledger(upload)] == ["unprocessed", "loaded", "loaded"]
    assert [letter.error_code for letter in uploads.execute("SELECT * FROM dead_letters")] == ["DB_002"]


@pytest.fixture
def system(postgres: servers.Postgres, tmp_path: Path) -> Iterator[System]:
    with system_of(postgres, tmp_path, STATIONS) as system:
        yield system


@pytest.mark.usefixtures("at_once")
def test_others_are_loaded_meanwhile_and_readiness_says_what_stands_still(system: System) -> None:
    members_upload, stations = system.noted(lanes=2), system.noted(record_type=STATIONS.name)
    waiting = list(map(received, chunks_of(members(8), members_upload, lanes=2, chunk_records=2)))
    others = chunks_of(b"name,height\nA,1\nB,2\n", stations, chunk_records=1, record_type=STATIONS)
    system.uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    with processing(system.url, system.broker) as running:
        publish(system.broker, *waiting, *map(received, others))
        system.settled(stations, 2)
        until(lambda: bool(running.health.going_without), what="a reason")
        (why,) = running.health.going_without
        assert why.startswith(f"record type {MEMBERS.name}: its table member_certifications cannot be used")
        assert "42P01" in why
        assert running.health.waiting_for == []
        assert {next_seq for _, next_seq, _ in system.uploads.lanes(members_upload)} == {0}
        system.uploads.execute("ALTER TABLE gone RENAME TO member_certifications")
        publish(system.broker, *waiting)  # as the splitter does
        until(lambda: len(system.uploads.loaded(members_upload)) == 8, what="the others")
        until(lambda: not running.health.going_without, what="nothing that stands still")


def test_an_upload_goes_on_by_itself_when_its_table_is_back(
    system: System, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "AGAIN_SECONDS", 1.0)
    upload = system.uploads.accept_file(store, members(60))
    system.uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    facts: dict[str, Any] = {"chunk_records": 5, "lane_bytes": 1_000, "max_lanes": 3, "stall_seconds": 1.5}
    with splitting(system.url, system.broker, store, **facts), processing(system.url, system.broker) as running:
        announce(system.broker, upload)
        until(lambda: bool(running.health.going_without), what="a reason")
        time.sleep(5)
        is_untouched(system.uploads, upload)
        assert 12 < len(everything_in(system.broker, CHUNKS)) < 12 + 3 * 10  # the first of each lane now and then
        system.uploads.execute("ALTER TABLE gone RENAME TO member_certifications")
        until(lambda: len(system.uploads.loaded(upload)) == 60, seconds=30, what="the whole upload")
        assert not running.health.waiting_for


def test_however_many_wait_for_their_table_others_have_a_slot(
    system: System, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "AGAIN_SECONDS", 1.0)
    monkeypatch.setattr(standstills, "SECONDS", 4.0)
    waiting = [system.uploads.accept_file(store, members(20, start=20 * number)) for number in range(5)]
    system.uploads.execute("ALTER TABLE member_certifications RENAME TO gone")
    facts: dict[str, Any] = {"slots": 2, "small_slots": 1, "poll_seconds": 0.5, "stall_seconds": 1.5}
    with splitting(system.url, system.broker, store, **facts), processing(system.url, system.broker) as running:
        announce(system.broker, *waiting)
        until(lambda: bool(running.health.going_without), what="a reason")
        stations = system.uploads.accept_file(store, b"name,height\nA,1\n", record_type=STATIONS.name)
        announce(system.broker, stations)
        system.settled(stations, 1)
        assert [system.uploads.ledger(upload) for upload in waiting] == [[]] * 5
        system.uploads.execute("ALTER TABLE gone RENAME TO member_certifications")
        until(
            lambda: [len(system.uploads.loaded(upload)) for upload in waiting] == [20] * 5,
            seconds=60,
            what="all that waited",
        )
