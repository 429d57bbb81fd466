"""One file comes in by each of the seven ways: the same rows, each time it is known again, and no log tells of a cell.

On real servers: Apache Kafka, an S3 server that tells of its objects on it, sshd, Postgres.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.storage.parts import LEAST_PART_BYTES
from tests import servers
from tests.servers.versitygw import SECRET_KEY
from tests.uploads import csv_of, member
from tests.ways_in import EVENTS_PREFIX, EVENTS_TOPIC, WAYS, Door, bring, sources
from tests.whole_system import WORKERS, on_real_servers, rejected_rows, running

ROWS = 600
CANARIES = {name: f"canary-{name}-{uuid4().hex}" for name in ("loaded", "rejected", "unreadable", "password", "bearer")}
"""Words that stand in cells and credentials, and nowhere else."""
LONG = f"{CANARIES['loaded']} {'x' * 10_000}"
"""A cell that makes a file of few records large enough for two parts."""
FOLDER = "outbox"
COLUMNS = ("member_id", "case_number", "member_email", "certification_type", "work_hours")

SOURCE_TYPES = {"s3_event": "s3_event", "sftp": "ftp", "intake_topic": "kafka"}
"""As what an upload is shown that came by one of these; all others came by the API."""


def records() -> Iterator[dict[str, str] | str]:
    for number in range(ROWS):
        yield member(number, note=LONG)
    yield member(7)
    yield member(8_000, member_email=CANARIES["rejected"])
    yield CANARIES["unreadable"]


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
        admin = AdminClient(
            {"bootstrap.servers": kafka.address, "log_level": 2}
        )  # what it makes is not made without it
        admin.create_topics([NewTopic(EVENTS_TOPIC, 2, 1)])[EVENTS_TOPIC].result(30)
        options = ("--event-kafka-url", kafka.address, "--event-kafka-topic", EVENTS_TOPIC)
        with servers.versitygw_server(folder / "store", *options) as store, TemporaryDirectory() as state:
            database = postgres.empty_database("every_way_in")
            settings = on_real_servers(broker=kafka.address, database=database, storage=store.address) | {
                "ROWSTREAM_STORAGE__BUCKET": "of-rowstream",
                "ROWSTREAM_GATEWAY__SOURCES_FILE": str(folder / "sources.toml"),
                "ROWSTREAM_GATEWAY__S3_EVENTS_TOPIC": EVENTS_TOPIC,
                "ROWSTREAM_GATEWAY__INTAKE_BUCKETS": servers.BUCKET,
                "ROWSTREAM_LOG__LEVEL": "debug",
            }
            with running(Path(state) / "state", processors=1, settings=settings) as system:
                yield Door(system, Path(state) / "state", store, sshd, FOLDER)


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


def test_no_log_holds_a_secret_or_a_cell(place: Place) -> None:
    """Also of what was wrong: a bad password, a used token, a key in the wrong place, records that were rejected."""
    told = {**CANARIES, "store": SECRET_KEY, **credentials(place.door)}
    assert all(told.values())
    bring(place.door, "one_request", FILE)
    logs = {log.name: log.read_text() for log in (place.door.state / "logs").iterdir()}
    said = {service: "".join(text for name, text in logs.items() if name.startswith(service)) for service in WORKERS}
    assert all(said.values())
    assert "/auth/login" in said["ingest_gateway"]
    assert place.first["id"] in said["splitter"]
    found = [(name, what) for name, text in logs.items() for what, secret in told.items() if secret in text]
    assert found == []


def credentials(door: Door) -> dict[str, str]:
    """Everything secret that goes over the wire, after each was used as it should be and as it should not."""
    addresses = door.system.addresses
    with httpx.Client(base_url=addresses["gateway"], timeout=60) as anybody, door.system.api as api:
        said = {"email": addresses["owner"], "password": addresses["owner_password"]}
        session = anybody.post("/auth/login", json=said).raise_for_status().json()
        assert anybody.post("/auth/login", json=said | {"password": CANARIES["password"]}).is_client_error
        owner = {"Authorization": f"Bearer {session['access_token']}"}
        wanted = {"name": "signs", "scopes": ["uploads:read"], "signed_only": True}
        signing = anybody.post("/api/v1/keys", json=wanted, headers=owner).raise_for_status().json()["key"]
        asked = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 1}
        presigned = api.post("/api/v1/batch_uploads/presigned_url", json=asked).raise_for_status().json()
        for wrong in (CANARIES["bearer"], f"rs_{CANARIES['bearer']}", signing, session["refresh_token"]):
            for form in (f"Bearer {wrong}", f"Basic {wrong}", wrong):
                headers = {"Authorization": form, "Signature": f"s=:{wrong}:", "Cookie": f"session={wrong}"}
                answer = anybody.get("/api/v1/batch_uploads", headers=headers)
                assert answer.status_code == httpx.codes.UNAUTHORIZED, answer.text
        renewed = anybody.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
        assert anybody.post("/auth/refresh", json={"refresh_token": session["refresh_token"]}).is_client_error
    return {
        "api key": addresses["api_key"],
        "owner's password": addresses["owner_password"],
        "access token": session["access_token"],
        "refresh token": session["refresh_token"],
        "second access token": renewed.raise_for_status().json()["access_token"],
        "second refresh token": renewed.json()["refresh_token"],
        "signing key": signing,
        "policy of an upload": presigned["fields"]["policy"],
        "signature of an upload": presigned["fields"]["x-amz-signature"],
    }
