"""One file comes in by each of the seven ways: the same rows, and each time it is known that it was here before.

On real servers: Apache Kafka, an S3 server that tells of its objects on it, sshd, Postgres.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.storage.parts import LEAST_PART_BYTES
from tests import servers
from tests.uploads import csv_of, member
from tests.ways_in import EVENTS_PREFIX, EVENTS_TOPIC, WAYS, Door, bring, sources
from tests.whole_system import on_real_servers, rejected_rows, running

ROWS = 600
LONG = "x" * 10_000
"""A cell that makes a file of few records large enough for two parts."""
FOLDER = "outbox"
COLUMNS = ("member_id", "case_number", "member_email", "certification_type", "work_hours")

SOURCE_TYPES = {"s3_event": "s3_event", "sftp": "ftp", "intake_topic": "kafka"}
"""As what an upload is shown that came by one of these; all others came by the API."""


def records() -> Iterator[dict[str, str] | str]:
    for number in range(ROWS):
        yield member(number, note=LONG)
    yield member(7)
    yield member(8_000, member_email="nobody")
    yield "a line that is no record"


FILE = csv_of(records())
REJECTED = {ROWS + 2: "DUP_001", ROWS + 3: "VAL_003", ROWS + 4: "VAL_006"}
LOADED = {number + 2: tuple(member(number)[name] for name in COLUMNS) for number in range(ROWS)}


@dataclass(frozen=True)
class Place:
    """The system, and the upload by which it had the file first."""

    door: Door
    first: dict[str, Any]

    @property
    def database(self) -> str:
        address: str = self.door.system.addresses["database"]
        return address

    def execute(self, statement: bytes) -> None:
        with psycopg.connect(self.database) as connection:
            connection.execute(statement)

    def loaded(self, upload_id: str) -> dict[int, tuple[str, ...]]:
        """The rows of an upload, by row number, as text."""
        columns = ", ".join(f"{name}::text" for name in COLUMNS)
        query = f"SELECT row_number, {columns} FROM member_certifications WHERE batch_upload_id = %s"  # noqa: S608 - constants
        with psycopg.connect(self.database) as connection:
            return {row[0]: row[1:] for row in connection.execute(query.encode(), [upload_id])}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, postgres: servers.Postgres, sshd: servers.Sshd) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("every-way-in")
    (sshd.files / FOLDER).mkdir()
    (folder / "sources.toml").write_text(sources(EVENTS_PREFIX, sshd, FOLDER))
    with servers.kafka_server(folder / "kafka") as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.address})  # what it makes is not made without it
        admin.create_topics([NewTopic(EVENTS_TOPIC, 2, 1)])[EVENTS_TOPIC].result(30)
        options = ("--event-kafka-url", kafka.address, "--event-kafka-topic", EVENTS_TOPIC)
        with servers.versitygw_server(folder / "store", *options) as store, TemporaryDirectory() as state:
            database = postgres.empty_database("every_way_in")
            settings = on_real_servers(broker=kafka.address, database=database, storage=store.address) | {
                "ROWSTREAM_STORAGE__BUCKET": "of-rowstream",
                "ROWSTREAM_GATEWAY__SOURCES_FILE": str(folder / "sources.toml"),
                "ROWSTREAM_GATEWAY__S3_EVENTS_TOPIC": EVENTS_TOPIC,
                "ROWSTREAM_GATEWAY__INTAKE_BUCKETS": servers.BUCKET,
            }
            with running(Path(state) / "state", processors=1, settings=settings) as system:
                yield Door(system, store, sshd, FOLDER)


@pytest.fixture(scope="module")
def place(door: Door) -> Place:
    return Place(door, bring(door, "presigned", FILE))


def test_the_file_is_large_enough_for_parts() -> None:
    assert LEAST_PART_BYTES < len(FILE) < 2 * LEAST_PART_BYTES


@pytest.mark.parametrize("way", WAYS)
def test_the_same_file_gives_the_same_rows_and_is_known_again(way: str, place: Place) -> None:
    place.execute(b"TRUNCATE member_certifications")
    upload = bring(place.door, way, FILE)
    assert (upload["status"], upload["failure_message"]) == ("completed", None)
    assert upload["source_type"] == SOURCE_TYPES.get(way, "api")
    assert place.loaded(upload["id"]) == LOADED
    assert rejected_rows(place.door.system, upload["id"]) == REJECTED
    assert upload["duplicate_of"] == place.first["id"]
    assert upload["content_sha256"] == sha256(FILE).hexdigest()


def test_the_first_one_is_nobodys_duplicate(place: Place) -> None:
    assert (place.first["status"], place.first["duplicate_of"]) == ("completed", None)
    assert place.first["content_sha256"] == sha256(FILE).hexdigest()


@pytest.mark.parametrize("way", WAYS)
def test_an_organization_that_refuses_a_file_again_refuses_it_by_every_way(way: str, place: Place) -> None:
    place.execute(b"UPDATE organizations SET duplicate_policy = 'refuse'")
    try:
        upload = bring(place.door, way, FILE)
    finally:
        place.execute(b"UPDATE organizations SET duplicate_policy = 'warn'")
    assert (upload["status"], upload["failure_code"]) == ("failed", "DUP_002")
    assert upload["duplicate_of"] == place.first["id"]
    assert place.first["id"] in upload["failure_message"]
    assert place.loaded(upload["id"]) == {}
