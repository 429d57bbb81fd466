"""`rowstream up` with real servers in place of its own: Apache Kafka, a strict S3 server, the oldest Postgres."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from rowstream.database.invariants import check
from rowstream.kafka.drift import compare, look
from rowstream.kafka.topics import CHUNKS, TOPICS, UPLOAD_STATUS
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests import servers
from tests.kills import SERVICES, SETTINGS, an_upload_survives
from tests.servers.versitygw import ACCESS_KEY, SECRET_KEY
from tests.unit.cli.support import Result, run
from tests.whole_system import System, loaded_rows, on_real_servers, planted_rows, rejected_rows, running

RECORD_TYPE = "member_certification"
ROWS = 20_000


@pytest.fixture(scope="module")
def bare_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.ApacheKafka]:
    """An Apache Kafka without a topic."""
    with servers.kafka_server(tmp_path_factory.mktemp("bare-kafka")) as kafka:
        kafka.settle = lambda: None
        admin = AdminClient({"bootstrap.servers": kafka.address})
        for gone in admin.delete_topics([topic.name for topic in TOPICS]).values():
            gone.result(30)
        servers.until(lambda: not look(kafka.address, TOPICS), what="the end of the topics")
        yield kafka


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="rowstream-test-") as folder:
        yield Path(folder) / "state"


@pytest.fixture(scope="module")
def system(
    place: Path, bare_kafka: servers.ApacheKafka, versitygw: servers.Server, postgres_15: servers.Postgres
) -> Iterator[System]:
    database = postgres_15.empty_database("up_with_real_servers")
    settings = on_real_servers(broker=bare_kafka.address, database=database, storage=versitygw.address)
    settings |= {
        **SETTINGS,
        "ROWSTREAM_STORAGE__BUCKET": "made-by-up",
        "ROWSTREAM_KAFKA__SESSION_TIMEOUT_MS": "4000",  # as `up` has it with its own broker
    }
    with running(place, settings=settings) as system:
        yield system
        assert check(system.addresses["database"]) == []


def rowstream(place: Path, *arguments: str) -> Result:
    return run(*arguments, ROWSTREAM_STATE_DIR=str(place))


def test_nothing_embedded_runs(system: System) -> None:
    for part in ("tansu", "postgres", "localbucket"):
        assert system.processes(part) == []


def test_topics_are_made_as_they_are_wanted(system: System, place: Path) -> None:
    found = look(system.addresses["broker"], TOPICS)
    assert [one.faults for one in compare(TOPICS, found, replication=1, partitions={}) if one.faults] == []
    assert (found[CHUNKS].partitions, found[CHUNKS].config["retention.ms"]) == (8, "86400000")
    assert found[UPLOAD_STATUS].config["cleanup.policy"] == "compact"
    assert rowstream(place, "topics").code == 0


def test_bad_records_stop_no_good_one_of_their_file(system: System, place: Path, tmp_path: Path) -> None:
    """FilePulse 717: at the first record that cannot be read, the rest of the file is given up."""
    file, truth = tmp_path / "members.csv", tmp_path / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), ROWS, output=output, truth=planted, bad=0.05, duplicates=0.02)
    sent = rowstream(place, "upload", str(file), "--record-type", RECORD_TYPE, "--wait", "--json")
    upload = json.loads(sent.out)
    assert (sent.code, upload["status"]) == (0, "completed")
    expected = planted_rows(truth)
    assert {"VAL_006", "VAL_007", "VAL_008"} <= set(expected.values()), "too few lines that no reader can read"
    assert upload["processed_records"] == ROWS
    assert upload["failed_records"] == len(expected) > ROWS * 0.05
    assert rejected_rows(system, upload["id"]) == expected
    assert loaded_rows(system, upload["id"]) == set(range(2, ROWS + 2)) - expected.keys()
    assert check(system.addresses["database"]) == []


def test_an_upload_outlives_a_broker_that_is_killed(
    system: System, place: Path, bare_kafka: servers.ApacheKafka, tmp_path: Path
) -> None:
    file, truth = tmp_path / "members.csv", tmp_path / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), ROWS, output=output, truth=planted, seed=2)
    upload_id = json.loads(rowstream(place, "upload", str(file), "--record-type", RECORD_TYPE, "--json").out)["id"]
    bare_kafka.kill()
    bare_kafka.start()
    with system.api as api:

        def ended() -> bool:
            return bool(api.get(f"/api/v1/batch_uploads/{upload_id}").json()["status"] == "completed")

        servers.until(ended, seconds=180, what="the end of the upload")
    assert rejected_rows(system, upload_id) == planted_rows(truth)


@pytest.mark.parametrize("part", SERVICES)
def test_an_upload_survives_the_death_of(part: str, system: System, place: Path, tmp_path: Path) -> None:
    """Of the services: servers of others are not for `up` to start again."""

    def hand_in(file: Path) -> str:
        sent = rowstream(place, "upload", str(file), "--record-type", RECORD_TYPE, "--json")
        upload_id: str = json.loads(sent.out)["id"]
        return upload_id

    an_upload_survives(part, system, tmp_path, hand_in)


def test_at_rest_no_group_of_readers_has_a_lag(system: System, place: Path, tmp_path: Path) -> None:
    """KEDA 5675: the markers of transactions, which nobody can read, leave a lag of 1 that keeps scalers awake."""
    file = tmp_path / "members.csv"
    with file.open("wb") as output:
        write_sample(registry.find(RECORD_TYPE), ROWS, output=output, seed=3)
    assert rowstream(place, "upload", str(file), "--record-type", RECORD_TYPE, "--wait").code == 0

    def at_rest() -> bool:
        found = lags(system.addresses["broker"])
        return all(found.get(group) == {0} for group in ("splitter", "record-processor", "auditor"))

    servers.until(at_rest, seconds=60, what="the end of every lag")


def lags(broker: str) -> dict[str, set[int]]:
    """By group, how far it is behind the end of each partition that it ever acknowledged, as a scaler sees it."""
    admin = AdminClient({"bootstrap.servers": broker})
    looking = Consumer({"bootstrap.servers": broker, "group.id": "nobody"})
    behind = {}
    for group in admin.list_consumer_groups().result(10).valid:
        (asked,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group.group_id)]).values()
        committed = [place for place in asked.result(10).topic_partitions or [] if place.offset >= 0]
        behind[group.group_id] = {
            looking.get_watermark_offsets(place, timeout=10)[1] - place.offset for place in committed
        }
    looking.close()
    return behind


def test_doctor_finds_nothing_wrong(system: System, place: Path) -> None:
    environment = {"ROWSTREAM_STORAGE__ACCESS_KEY_ID": ACCESS_KEY, "ROWSTREAM_STORAGE__SECRET_ACCESS_KEY": SECRET_KEY}
    told = run("doctor", "--json", ROWSTREAM_STATE_DIR=str(place), **environment)
    assert [finding for finding in json.loads(told.out) if not finding["ok"]] == []
    assert system.addresses["bucket"] == "made-by-up"
