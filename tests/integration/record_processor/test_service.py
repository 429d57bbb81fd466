"""A record processor with a real broker and database: what it takes, what it tells, and what it puts aside."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import dataframely as dy
import fastavro
import pytest

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.ids import new_id
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS, CHUNKS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.record_chunk import RecordChunk
from rowstream.records import RecordType
from rowstream.runtime.service import Running
from rowstream.runtime.settings import StorageSettings
from tests import servers
from tests.integration.record_processor.system import System, system_of
from tests.servers import make_organization, until
from tests.services import everything_in, kept_going, process_of, processing, publish
from tests.uploads import TRACE, Uploads, again, chunks_of, csv_of, member, members, received


class _Station(dy.Schema):
    name = dy.String(nullable=False)
    height = dy.Int64(nullable=True)


STATIONS = RecordType(name="station", version=1, title="Stations", table="stations", schema=_Station, key=("name",))


@dataclass(frozen=True)
class Working(System):
    """With a processor at work."""

    running: Running


@pytest.fixture(scope="module")
def system(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    with (
        system_of(postgres, tmp_path_factory.mktemp("broker"), STATIONS) as bare,
        processing(bare.url, bare.broker, schema_patience_seconds=1.5, batch_chunks=8) as running,
    ):
        yield Working(bare.url, bare.broker, bare.uploads, running)


def test_a_chunk_becomes_rows_and_a_result_that_follows_from_it(system: Working) -> None:
    upload = system.noted()
    (chunk,) = chunks_of(csv_of([member("r1"), member("r2", work_hours="x"), "bad"]), upload)
    publish(system.broker, received(chunk))
    until(lambda: len(system.results(upload)) == 1, what="a result")
    (message,) = system.results(upload)
    result = codec.decode(message.value, ChunkResult)
    (row,) = system.uploads.ledger(upload)
    further = {field.name for field in fields(ChunkResult)} - {"upload_id"}
    assert result == ChunkResult(upload_id=upload, **{name: getattr(row, name) for name in further})
    assert (result.succeeded_records, result.worker) == (1, "thread")
    assert result.errors_by_code == {"VAL_005": 1, "VAL_006": 1}
    assert message.headers["ce_id"] == f"{upload}/1/0/result"
    assert message.headers["correlation_id"] == "c"
    assert message.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert message.headers["ce_organization"] == str(DEFAULT_ORGANIZATION)

    publish(system.broker, received(chunk))
    until(lambda: len(system.results(upload)) == 2, what="the result once more")
    assert [codec.decode(one.value, ChunkResult) for one in system.results(upload)] == [result, result]
    assert len(system.uploads.loaded(upload)) == 1


def test_several_organizations_and_types_share_a_poll(system: Working) -> None:
    other = make_organization(system.url, "other")
    ours, theirs, stations = system.noted(lanes=2), system.noted(organization=other), system.noted(organization=other)
    data = b"name,height\nA,1\nB,x\nA,2\n"
    messages = [
        *map(received, chunks_of(members(30, start=100), ours, lanes=2, chunk_records=5)),
        *map(received, chunks_of(members(30, start=100), theirs, chunk_records=10, organization=other)),
        *map(received, chunks_of(data, stations, chunk_records=2, organization=other, record_type=STATIONS)),
    ]
    publish(system.broker, *messages)
    until(lambda: len(system.uploads.loaded(ours)) == len(system.uploads.loaded(theirs)) == 30, what="all rows")
    system.settled(stations, 2)
    assert [row.name for row in system.uploads.loaded(stations, STATIONS).values()] == ["A"]
    assert system.uploads.codes(stations) == {3: "VAL_005", 4: "DUP_001"}
    assert {row.organization_id for row in system.uploads.rejected(stations).values()} == {other}
    assert system.uploads.rejected(ours) == system.uploads.rejected(theirs) == {}


def test_an_unreadable_chunk_is_unprocessed_and_its_lane_goes_on(system: Working) -> None:
    upload = system.noted()
    first, second, third = chunks_of(members(6, start=200), upload, chunk_records=2)
    unknown_type = [replace(chunk, record_type="nobody_knows") for chunk in chunks_of(members(2), upload)]
    odd = replace(unknown_type[0], lane_seq=3, chunk_number=3, first_row=8, last_row=9)
    publish(system.broker, received(first), received(second, body=b"?"), received(third), received(odd))
    system.settled(upload, 4)
    assert [row.outcome for row in system.uploads.ledger(upload)] == ["loaded", "unprocessed", "loaded", "unprocessed"]
    row = system.uploads.ledger(upload)[1]
    assert (row.records, row.unprocessed_records, row.first_row, row.last_row) == (2, 2, 4, 5)
    assert row.organization_id == DEFAULT_ORGANIZATION
    assert sorted(system.uploads.loaded(upload)) == [2, 3, 6, 7]
    until(lambda: len(system.results(upload)) >= 4, what="four results")
    assert system.uploads.lanes(upload) == [(0, 4, -1)]  # nothing had to be sent again


def test_what_names_no_chunk_of_ours_is_put_aside_whole_and_the_others_go_on(system: Working) -> None:
    upload = system.noted()
    (chunk,) = chunks_of(members(2, start=300), upload)
    (strange,) = chunks_of(members(2, start=300), new_id())
    foreign = replace(chunk, organization_id=new_id())  # the upload is ours, and not theirs
    nobody = Received(CHUNKS, chunk.lane, 0, b"k", b"hello", {"mine": "1"})
    headless = received(chunk, body=b"?", upload_id="")
    publish(system.broker, nobody, headless, received(strange), received(foreign), received(chunk))
    system.settled(upload, 1)
    assert {b"hello", b"?"} <= {message.value for message in system.aside("VALUE_CONVERTER")}
    (stranger,) = [one for one in system.aside("TASK_PUT") if one.headers["upload_id"] == str(strange.upload_id)]
    assert codec.decode(stranger.value, RecordChunk) == strange
    assert stranger.headers["__connect.errors.exception.message"] == "no such upload of ours"
    (other,) = [one for one in system.aside("TASK_PUT") if one.headers["upload_id"] == str(upload)]
    assert codec.decode(other.value, RecordChunk) == foreign
    assert sorted(system.uploads.loaded(upload)) == [2, 3]
    assert {row.organization_id for row in system.uploads.ledger(upload)} == {DEFAULT_ORGANIZATION}


def newer_schema() -> codec.Schema:
    schema: codec.Schema = json.loads(json.dumps(codec.contract("RecordChunk").schema))
    schema["fields"].append({"name": f"more_{new_id().hex}", "type": "string", "default": ""})
    return schema


def by(schema: codec.Schema, chunk: RecordChunk) -> Received:
    """The chunk as a newer splitter would send it."""
    body = io.BytesIO()
    values = {field["name"]: getattr(chunk, field["name"], "") for field in schema["fields"]}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), values)
    return received(chunk, body=codec.MARKER + codec.fingerprint(schema) + body.getvalue())


def test_schemas_nobody_knows_are_waited_for_once_and_then_their_chunks_are_unprocessed(system: Working) -> None:
    upload = system.noted()
    chunks = chunks_of(members(20, start=400), upload, chunk_records=1)
    started = time.monotonic()
    publish(system.broker, *(by(newer_schema(), chunk) for chunk in chunks))
    system.settled(upload, 20)
    assert time.monotonic() - started < 20  # and not one and a half seconds for each
    assert {row.outcome for row in system.uploads.ledger(upload)} == {"unprocessed"}


def test_a_schema_that_is_registered_late_is_in_time(postgres: servers.Postgres, tmp_path: Path) -> None:
    with system_of(postgres, tmp_path, STATIONS) as bare, processing(bare.url, bare.broker) as running:
        _register_late(Working(bare.url, bare.broker, bare.uploads, running))


def _register_late(system: Working) -> None:
    upload = system.noted()
    newer = newer_schema()
    (chunk,) = chunks_of(members(2, start=500), upload)
    publish(system.broker, by(newer, chunk))
    until(lambda: any("no service has registered" in why for why in system.running.health.waiting_for), what="a wait")
    system.uploads.execute(
        "INSERT INTO message_schemas (fingerprint, name, schema) VALUES (:fingerprint, 'RecordChunk', :schema)",
        fingerprint=codec.fingerprint(newer),
        schema=json.dumps(newer),
    )
    system.settled(upload, 1)
    assert len(system.uploads.loaded(upload)) == 2
    until(lambda: not system.running.health.waiting_for, what="readiness")


def test_while_the_database_is_not_as_it_should_be_it_waits_and_says_so(system: Working) -> None:
    upload = system.noted()
    chunks = chunks_of(members(4, start=600), upload, chunk_records=2)
    system.uploads.execute("ALTER TABLE processed_chunks RENAME TO gone")
    publish(system.broker, *map(received, chunks))
    until(lambda: any("42P01" in why for why in system.running.health.waiting_for), what="a reason")
    time.sleep(2.5)  # longer than a session: it must stay a member of its group
    assert system.running.health.alive
    system.uploads.execute("ALTER TABLE gone RENAME TO processed_chunks")
    system.settled(upload, 2)
    until(lambda: not system.running.health.waiting_for, what="readiness")
    until(lambda: len(system.results(upload)) == 2, what="the results")  # and each told once


def chunks_told(broker: str) -> set[int]:
    return {codec.decode(message.value, ChunkResult).chunk_number for message in everything_in(broker, CHUNK_RESULTS)}


def test_a_broker_that_is_away_when_results_are_to_be_told_gets_them_later(
    uploads: Uploads, database_url: str, own_broker: servers.Server, store_settings: StorageSettings, tmp_path: Path
) -> None:
    upload = uploads.accept()
    uploads.note(upload, lanes=1)
    uploads.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$"
    )
    uploads.execute("CREATE TRIGGER linger AFTER INSERT ON processed_chunks EXECUTE FUNCTION linger()")
    chunks = chunks_of(members(30), upload, chunk_records=10)
    with (
        process_of(
            "record_processor", tmp_path, database=database_url, broker=own_broker.address, storage=store_settings
        ) as processor,
        kept_going(processor),
    ):
        publish(own_broker.address, *map(received, chunks))
        until(
            lambda: bool(uploads.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")),
            what="a transaction",
        )
        own_broker.kill()
        until(lambda: len(uploads.ledger(upload)) == 3, what="the commit")
        until(lambda: any("broker" in why for why in processor.readiness()[1]), what="a reason")
        own_broker.start()
        until(lambda: len(everything_in(own_broker.address, CHUNK_RESULTS)) >= 3, seconds=30, what="the results")
        until(lambda: processor.readiness()[0] == 200, what="readiness")
    told = {
        codec.decode(one.value, ChunkResult).chunk_number for one in everything_in(own_broker.address, CHUNK_RESULTS)
    }
    assert told == {0, 1, 2}


def test_killed_in_the_middle_another_goes_on_and_nothing_is_lost_or_doubled(
    uploads: Uploads, database_url: str, either_broker: servers.Broker, store_settings: StorageSettings, tmp_path: Path
) -> None:
    upload = uploads.accept()
    uploads.note(upload, lanes=2)
    chunks = chunks_of(members(4_000), upload, lanes=2, chunk_records=20)
    with process_of(
        "record_processor",
        tmp_path,
        database=database_url,
        broker=either_broker.address,
        storage=store_settings,
        facts={"PROCESSOR__BATCH_CHUNKS": "2"},
    ) as first:
        publish(either_broker.address, *map(received, chunks))
        until(lambda: len(uploads.ledger(upload)) > 10, what="movement")
        first.kill()
        done = len(uploads.ledger(upload))
        assert done < len(chunks)
        first.start()
        until(lambda: len(uploads.ledger(upload)) > done + 10, what="movement")
        assert first.leave() == 0
        assert first.log_lines()[-1]["event"] == "stopped"
        with processing(database_url, either_broker.address):
            until(lambda: len(uploads.ledger(upload)) == len(chunks), seconds=30, what="the end")
    assert sorted(uploads.loaded(upload)) == list(range(2, 4_002))
    assert uploads.rejected(upload) == {}
    assert sum(row.succeeded_records for row in uploads.ledger(upload)) == 4_000
    told = {
        codec.decode(one.value, ChunkResult).chunk_number for one in everything_in(either_broker.address, CHUNK_RESULTS)
    }
    assert told == {chunk.chunk_number for chunk in chunks}


def test_a_zombies_late_chunks_do_no_harm(system: Working) -> None:
    upload = system.noted()
    chunks = chunks_of(members(8, start=700), upload, chunk_records=2)
    publish(system.broker, *map(received, again(chunks[:2], 2)), *map(received, again(chunks, 1)))
    system.settled(upload, 4)
    publish(system.broker, *map(received, again(chunks[2:], 1)))
    publish(system.broker, *map(received, again(chunks, 2)))
    until(lambda: len(system.results(upload)) >= 12, what="every result again")
    assert sorted(system.uploads.loaded(upload)) == list(range(2, 10))
    assert system.uploads.lanes(upload) == [(0, 4, -1)]
