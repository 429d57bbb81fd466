"""A batch is brought to its place message by message where one of them is not like the others."""

import threading
import time

import pytest

from auditor.patience import Patience
from auditor.receiver import Receiver, read_chunk_result
from rowstream.database.schemas import SchemaTable
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.runtime import steps
from rowstream.runtime.health import Health
from rowstream.runtime.steps import Step
from tests.integration.auditor.process import dead_letters
from tests.integration.auditor.scene import Scene
from tests.servers import Server, kafka_settings


@pytest.fixture
def receiver(scene: Scene, own_broker: Server) -> Receiver:
    return Receiver(
        engine=scene.engine,
        schemas=SchemaTable(scene.engine),
        make_producer=lambda: Producer(kafka_settings(own_broker.address)),
        patience=Patience(Health(), threading.Event()),
        unknown_schema_seconds=0.3,
    )


def received(offset: int, value: bytes | ChunkResult) -> Received:
    body = value if isinstance(value, bytes) else codec.encode(value)
    return Received(CHUNK_RESULTS, 0, offset, b"k", body, {})


def test_one_that_the_database_refuses_does_not_take_the_others_with_it(
    receiver: Receiver, scene: Scene, own_broker: Server
) -> None:
    upload = scene.accept()
    scene.note(upload)
    results = [scene.result(upload, chunk) for chunk in range(3)]
    bad = scene.result(upload, 3, errors_by_code={"\0": 1})
    receiver.take([received(n, one) for n, one in enumerate([*results[:2], bad, results[2]])], read_chunk_result)
    assert scene.totals(upload)[0] == 30
    (letter,) = dead_letters(own_broker.address, 1)
    assert letter.headers["__connect.errors.offset"] == "2"
    assert letter.headers["__connect.errors.stage"] == "TASK_PUT"


def test_unknown_schemas_are_waited_for_once_and_then_put_aside(
    receiver: Receiver, scene: Scene, own_broker: Server
) -> None:
    upload = scene.accept()
    scene.note(upload)
    unknown = [codec.MARKER + b"1234567%d" % (number % 10) + b"body" for number in range(40)]
    started = time.monotonic()
    receiver.take(
        [*(received(n, one) for n, one in enumerate(unknown)), received(40, scene.result(upload, 0))], read_chunk_result
    )
    assert time.monotonic() - started < 8  # and not three tenths of a second for each
    assert scene.totals(upload)[0] == 10
    letters = dead_letters(own_broker.address, 40)
    assert [letter.value for letter in letters] == unknown
    assert "no service has registered" in letters[0].headers["__connect.errors.exception.message"]


def test_an_upload_cut_short_is_brought_to_rest_at_once(receiver: Receiver, scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    scene.fail(upload, records_split=25)
    receiver.take([received(0, one) for one in scene.work(scene.result(upload, 0))], read_chunk_result)
    row = scene.upload(upload)
    assert (row.status, row.total_records, row.unprocessed_records) == ("failed", 25, 15)


def test_a_batch_is_reported_once_it_is_committed(receiver: Receiver, scene: Scene) -> None:
    upload = scene.accept()
    scene.note(upload)
    seen: list[tuple[Step, int]] = []
    steps.observe(lambda step: seen.append((step, scene.totals(upload)[0])))
    try:
        receiver.take([received(0, one) for one in scene.work(scene.result(upload, 0))], read_chunk_result)
    finally:
        steps.observe(lambda _: None)
    assert seen == [(Step.RESULTS_FOLDED, 10)]
