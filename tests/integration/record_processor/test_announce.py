"""Accepted records are announced, each at least once, under ids that stay: through crashes too."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from record_processor import announcements
from record_processor.announce import Announcer
from rowstream.database.connection import PROCESSOR_ROLE
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Retryable
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.messages import codec
from rowstream.messages.record_accepted import RecordAccepted
from rowstream.runtime.logging import configure_logging
from rowstream.runtime.steps import Step
from tests import servers
from tests.announced import TOPIC, VISITS, make_topic, said_of, visits
from tests.engines import engine_of
from tests.integration.record_processor.system import System, system_of
from tests.servers import until
from tests.services import everything_in, processing, publish, quick_kafka
from tests.uploads import TRACE, chunks_of, members, received


@dataclass(frozen=True)
class Announcing(System):
    """With the type's table and topic; shared by the tests of this module."""

    def visited(self, lanes: int = 1) -> UUID:
        """An upload of visits whose chunks may come."""
        return self.noted(lanes, record_type=VISITS.name)

    def said(self, upload: UUID) -> list[Received]:
        """What was announced of an upload, as often as it was."""
        return [message for message in everything_in(self.broker, TOPIC) if of(message).upload_id == upload]

    def is_noted(self, upload: UUID, chunks: int) -> bool:
        ledger = self.uploads.ledger(upload)
        return len(ledger) == chunks and all(row.announced_at for row in ledger)

    def forget(self, upload: UUID) -> None:
        """As if the processor had died before it could note that it announced the upload's records."""
        self.uploads.execute("UPDATE processed_chunks SET announced_at = NULL WHERE batch_upload_id = :id", id=upload)

    def announced(self, upload: UUID, data: bytes, *, lanes: int = 1, chunk_records: int = 1_000) -> list[Received]:
        """What is said when the upload's chunks are worked."""
        chunks = chunks_of(data, upload, record_type=VISITS, lanes=lanes, chunk_records=chunk_records)
        publish(self.broker, *map(received, chunks))
        until(lambda: self.is_noted(upload, len(chunks)), what="the announcements")
        return self.said(upload)


@pytest.fixture(scope="module")
def bare(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Announcing]:
    """Without a processor."""
    with system_of(postgres, tmp_path_factory.mktemp("broker"), VISITS) as system:
        make_topic(system.broker)
        yield Announcing(system.url, system.broker, system.uploads)


@pytest.fixture
def system(bare: Announcing) -> Iterator[Announcing]:
    """With one."""
    with processing(bare.url, bare.broker):
        yield bare


@pytest.fixture
def engine(bare: Announcing) -> Iterator[Engine]:
    with engine_of(bare.url, role=PROCESSOR_ROLE, pool_size=4) as engine:
        yield engine


@pytest.fixture
def sweeper(bare: Announcing, engine: Engine) -> Announcer:
    return Announcer(engine, Producer(quick_kafka(bare.broker)))


def of(message: Received) -> RecordAccepted:
    return codec.decode(message.value, RecordAccepted)


def ids(messages: list[Received]) -> list[str]:
    return sorted(message.headers["ce_id"] for message in messages)


def texts(messages: list[Received]) -> set[tuple[str, bytes | None, bytes]]:
    return {(message.headers["ce_id"], message.key, message.value) for message in messages}


def test_each_accepted_record_is_announced_as_it_stands_in_the_table(system: Announcing) -> None:
    upload = system.visited()
    data = visits(["a", "b"]) + b"c,2026-02-30,,,,,,\n" + b"d,2026-01-31,,,,,,\n" + visits(["a"]).splitlines()[1]
    said = system.announced(upload, data)
    assert ids(said) == [f"{upload}/2", f"{upload}/3", f"{upload}/5"]  # not the bad one, not the one that came again
    assert sorted(system.uploads.loaded(upload, VISITS)) == [2, 3, 5]
    first, _, bare = sorted(said, key=lambda message: message.headers["ce_id"])
    told = of(first)
    assert json.loads(told.record or "") == said_of("a")
    assert (told.row_number, told.record_type, told.record_type_version, told.attempt) == (2, "visit", 3, 1)
    assert told.organization_id == DEFAULT_ORGANIZATION
    assert json.loads(first.key or b"") == {"who": "a", "day": "2026-01-31"}
    assert first.headers["ce_type"] == "rowstream.record_accepted"
    assert first.headers["correlation_id"] == "c"
    assert first.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert json.loads(of(bare).record or "") == {
        **dict.fromkeys(said_of("d")), "who": "d", "day": "2026-01-31", "year": 2026,
    }  # fmt: skip


def test_what_loses_against_another_upload_is_not_announced(system: Announcing) -> None:
    system.announced(system.visited(), visits(["taken", "too"]))
    second = system.visited()
    assert ids(system.announced(second, visits(["taken", "free", "too"]))) == [f"{second}/3"]


def test_a_type_that_announces_nothing_owes_nothing(system: Announcing) -> None:
    upload = system.noted()
    publish(system.broker, *map(received, chunks_of(members(3), upload)))
    until(lambda: len(system.uploads.ledger(upload)) == 1, what="the chunk")
    (row,) = system.uploads.ledger(upload)
    assert row.announced_at == row.started_at


def test_a_chunk_without_accepted_records_owes_nothing(system: Announcing) -> None:
    upload = system.visited()
    assert system.announced(upload, visits(["x"], day="never")) == []
    (row,) = system.uploads.ledger(upload)
    assert row.announced_at == row.started_at


def test_a_chunk_that_comes_again_is_announced_again_only_if_that_is_due(system: Announcing) -> None:
    upload = system.visited(lanes=2)
    data = visits(f"again {number}" for number in range(40))
    before = system.announced(upload, data, lanes=2, chunk_records=5)
    chunks = list(map(received, chunks_of(data, upload, record_type=VISITS, lanes=2, chunk_records=5)))
    publish(system.broker, *chunks)
    until(lambda: len(system.results(upload)) == 2 * len(chunks), what="every result again")
    assert len(system.said(upload)) == len(before) == 40
    system.uploads.execute(
        "UPDATE processed_chunks SET announced_at = NULL WHERE batch_upload_id = :id AND chunk_number = 1", id=upload
    )
    publish(system.broker, *chunks)
    until(lambda: system.is_noted(upload, len(chunks)), what="the announcement")
    after = system.said(upload)
    assert 5 <= len(after) - len(before) <= 20  # a chunk's rows, and those of the other lane that lie between
    assert texts(after) == texts(before)


def test_from_the_table_the_same_is_said_as_from_memory(bare: Announcing, sweeper: Announcer) -> None:
    upload = bare.visited(lanes=3)
    with processing(bare.url, bare.broker):
        rows = visits([f"same {number}" for number in range(30)])
        before = bare.announced(upload, rows + b'"a ""\x01\xc3\xa9,",2026-01-31,,-1.10,1e300,-5,no,green\n', lanes=3)
    bare.forget(upload)
    assert sweeper.sweep(after_seconds=0) == len(bare.uploads.ledger(upload))
    after = bare.said(upload)
    assert len(after) == 2 * len(before) == 62
    assert texts(after) == texts(before)
    assert {message.headers["correlation_id"] for message in after} == {"c", f"c-{upload}"}


@pytest.mark.parametrize("step", [Step.CHUNKS_COMMITTED, Step.RESULTS_PRODUCED, Step.RECORDS_ANNOUNCED])
def test_killed_on_the_way_every_record_is_announced_all_the_same(bare: Announcing, step: Step) -> None:
    upload = bare.visited()
    chunks = chunks_of(visits(f"{step} {number}" for number in range(20)), upload, record_type=VISITS)
    with program(bare, step.value) as process:
        publish(bare.broker, *map(received, chunks))
        assert process.wait(timeout=60) == -signal.SIGKILL
    (row,) = bare.uploads.ledger(upload)
    assert row.announced_at is None
    assert len(bare.said(upload)) == (20 if step is Step.RECORDS_ANNOUNCED else 0)
    with processing(bare.url, bare.broker):
        until(lambda: bare.is_noted(upload, 1), seconds=60, what="the announcements")
    assert sorted(set(ids(bare.said(upload)))) == sorted(f"{upload}/{row}" for row in range(2, 22))


@contextmanager
def program(system: Announcing, last: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.integration.record_processor.announcer", system.url, system.broker, last]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_sweep_finds_what_nobody_will_deliver_again_but_not_before_its_time(
    bare: Announcing, sweeper: Announcer
) -> None:
    upload = bare.visited(lanes=4)
    with processing(bare.url, bare.broker):
        before = bare.announced(upload, visits(f"swept {number}" for number in range(50)), lanes=4, chunk_records=5)
    bare.forget(upload)
    assert sweeper.sweep(after_seconds=3_600) == 0
    assert sweeper.sweep(after_seconds=0) == len(bare.uploads.ledger(upload))
    assert ids(bare.said(upload)) == sorted(
        2 * ids(before)
    )  # chunks lie across each other; no row is said twice for it
    assert sweeper.sweep(after_seconds=0) == 0


def test_sweeps_of_several_processors_do_not_do_the_same(bare: Announcing, engine: Engine) -> None:
    several = [bare.visited() for _ in range(3)]
    with processing(bare.url, bare.broker):
        for upload in several:
            bare.announced(upload, visits(f"{upload} {number}" for number in range(60)), chunk_records=2)
    for upload in several:
        bare.forget(upload)

    def sweep() -> int:
        announcer, chunks = Announcer(engine, Producer(quick_kafka(bare.broker))), 0
        while found := announcer.sweep(after_seconds=0):
            chunks += found
        return chunks

    with ThreadPoolExecutor(3) as pool:
        counts = [future.result(timeout=60) for future in [pool.submit(sweep) for _ in range(3)]]
    assert sum(counts) == 3 * 30
    assert all(bare.is_noted(upload, 30) for upload in several)


def test_what_the_broker_does_not_take_stays_due(bare: Announcing, engine: Engine, sweeper: Announcer) -> None:
    upload = bare.visited()
    with processing(bare.url, bare.broker):
        bare.announced(upload, visits(["waits"]))
    bare.forget(upload)
    nowhere = Announcer(engine, Producer(quick_kafka(f"127.0.0.1:{servers.free_port()}")))
    with pytest.raises(Retryable):
        nowhere.sweep(after_seconds=0)
    assert not bare.is_noted(upload, 1)
    assert sweeper.sweep(after_seconds=0) == 1


def test_one_that_cannot_be_announced_holds_up_no_other(
    bare: Announcing, sweeper: Announcer, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = bare.visited(), bare.visited()
    with processing(bare.url, bare.broker):
        for upload in (first, second):
            bare.announced(upload, visits([f"held up {upload}", f"not {upload}"]), chunk_records=1)
    for upload in (first, second):
        bare.forget(upload)
    change = "UPDATE visits SET began = CAST(:began AS timestamptz) WHERE batch_upload_id = :id AND row_number = 2"
    bare.uploads.execute(change, began="infinity", id=first)  # there is no such time in Python
    configure_logging("test")
    assert sweeper.sweep(after_seconds=0) == 3
    assert sweeper.sweep(after_seconds=0) == 0
    assert [row.announced_at is None for row in bare.uploads.ledger(first)] == [True, False]
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (told,) = [line for line in said if line["event"] == "records not announced for now"]
    assert (told["upload_id"], told["chunk_number"], told["reason"]) == (str(first), 0, "DataError")
    bare.uploads.execute(change, began=None, id=first)
    until(lambda: sweeper.sweep(after_seconds=0) == 1, what="the one that was left")
    assert bare.is_noted(first, 2)


def test_a_type_whose_table_is_away_holds_up_no_other(bare: Announcing, sweeper: Announcer) -> None:
    visited, other = bare.visited(), bare.noted()
    with processing(bare.url, bare.broker):
        bare.announced(visited, visits([f"away {visited} {number}" for number in range(4)]), chunk_records=1)
        publish(bare.broker, *map(received, chunks_of(members(2, start=500), other)))
        until(lambda: bare.is_noted(other, 1), what="the chunk")
    for upload in (visited, other):
        bare.forget(upload)
    bare.uploads.execute("ALTER TABLE visits RENAME TO gone")
    assert sweeper.sweep(after_seconds=0) == 1
    assert bare.is_noted(other, 1)
    bare.uploads.execute("ALTER TABLE gone RENAME TO visits")
    until(lambda: sweeper.sweep(after_seconds=0) == 4, what="the others")
    assert bare.is_noted(visited, 4)


def test_a_query_that_takes_too_long_is_left_to_the_sweep(bare: Announcing, sweeper: Announcer) -> None:
    upload = bare.visited()
    with processing(bare.url, bare.broker):
        bare.announced(upload, visits([f"slow {upload}"]))
    bare.forget(upload)
    bare.uploads.execute("ALTER TABLE visits RENAME TO kept")
    bare.uploads.execute("CREATE VIEW visits AS SELECT * FROM kept WHERE pg_sleep(5) IS NOT NULL")
    bare.uploads.execute("GRANT SELECT ON visits TO rowstream_processor")
    with engine_of(bare.url, role=PROCESSOR_ROLE, pool_size=1) as hurried:
        event.listen(hurried, "begin", lambda it: it.exec_driver_sql("SET LOCAL statement_timeout = '300ms'"))
        announcer = Announcer(hurried, Producer(quick_kafka(bare.broker)))
        announcer.announce_again([(upload, 0)], pause=never)
    bare.uploads.execute("DROP VIEW visits")
    bare.uploads.execute("ALTER TABLE kept RENAME TO visits")
    assert not bare.is_noted(upload, 1)
    assert sweeper.sweep(after_seconds=0) == 1


def never(reason: str) -> None:
    raise AssertionError(f"nothing is to be waited for here: {reason}")


def test_what_was_taken_out_again_is_owed_no_more(bare: Announcing, sweeper: Announcer) -> None:
    upload = bare.visited()
    with processing(bare.url, bare.broker):
        bare.announced(upload, visits(["gone", "gone too"]))
    bare.forget(upload)
    bare.uploads.execute("DELETE FROM visits WHERE batch_upload_id = :id", id=upload)
    assert sweeper.sweep(after_seconds=0) == 1
    assert bare.is_noted(upload, 1)
    assert len(bare.said(upload)) == 2


def test_a_record_too_large_for_a_message_is_named_without_its_cells(
    system: Announcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "MESSAGE_CAP", 600)
    upload = system.visited()
    said = system.announced(upload, visits(["w" * 2_000, "small"]))
    told = {message.headers["ce_id"]: message for message in said}
    assert of(told[f"{upload}/2"]).record is None
    assert len(told[f"{upload}/2"].key or b"") == 1_000
    assert json.loads(of(told[f"{upload}/3"]).record or "") == said_of("small")
