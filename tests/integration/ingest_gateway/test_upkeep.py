"""What is looked after by the clock: readiness, and uploads whose files never came."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from structlog.testing import capture_logs

from ingest_gateway import upkeep
from ingest_gateway.gateway import Gateway
from rowstream.messages import codec
from rowstream.messages.upload_status import UploadStatus
from rowstream.runtime.service import probe
from rowstream.runtime.settings import StorageSettings
from tests import gateways, servers


@pytest.fixture
def gateway(database_url: str, object_store: servers.Server) -> Iterator[Gateway]:
    settings = gateways.gateway_settings(
        database_url, servers.storage_settings(object_store), presign_seconds=60, expiry_grace_seconds=600
    )
    with gateways.opened(settings) as gateway:
        yield gateway


def test_it_is_ready_when_the_database_and_the_store_are_there(gateway: Gateway) -> None:
    assert len(gateway.health.waiting_for) == 2
    assert upkeep.look(gateway)
    assert gateway.health.waiting_for == []


def test_a_database_without_tables_is_told(postgres: servers.Postgres, object_store: servers.Server) -> None:
    settings = gateways.gateway_settings(postgres.url("postgres"), servers.storage_settings(object_store))
    with gateways.opened(settings) as gateway:
        assert not upkeep.look(gateway)
        (said,) = gateway.health.waiting_for
    assert said.startswith("database: ")
    assert "rowstream migrate" in said


def test_a_missing_bucket_is_told(database_url: str, object_store: servers.Server) -> None:
    storage = servers.storage_settings(object_store).model_copy(update={"bucket": "not-there"})
    with gateways.opened(gateways.gateway_settings(database_url, storage)) as gateway:
        assert not upkeep.look(gateway)
        assert gateway.health.waiting_for == ["storage: the bucket is not there; make it"]


def test_strangers_learn_what_is_waited_for_and_nothing_else(database_url: str) -> None:
    port = servers.free_port()
    dead = f"postgresql://operator:secret@127.0.0.1:{port}/private_name"
    storage = StorageSettings.model_validate(
        {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "bucket": "private-bucket",
            "access_key_id": "k",
            "secret_access_key": "s",
        }
    )
    for url, waits_for in ((dead, ["database", "storage"]), (database_url, ["storage"])):
        with gateways.opened(gateways.gateway_settings(url, storage)) as gateway, capture_logs() as lines:
            assert not upkeep.look(gateway)
            assert not upkeep.look(gateway)
            answer = probe("/readyz", gateway.health)
        assert answer
        assert json.loads(answer[2]) == {
            "ready": False,
            "waiting_for": [f"{part}: does not answer" for part in waits_for],
        }
        told = [line["part"] for line in lines if line["event"] == "waiting"]
        assert told == waits_for, "the log says why, once"
    assert "private-bucket" in str(lines)


def test_what_goes_away_is_told_again(gateway: Gateway, database_url: str, postgres: servers.Postgres) -> None:
    assert upkeep.look(gateway)
    name = database_url.rpartition("/")[2]
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert not upkeep.look(gateway)
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert upkeep.look(gateway)


def test_uploads_whose_files_never_came_are_given_up_in_every_organization(gateway: Gateway, database_url: str) -> None:
    other = servers.make_organization(database_url, "other")
    wanted = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 3}
    path = "/api/v1/batch_uploads/presigned_url"
    made: dict[str, str] = {}
    with gateways.serving(gateway.settings) as address:
        for name, key in {
            "ours": gateways.new_key(database_url),
            "other": gateways.new_key(database_url, other),
        }.items():
            with gateways.client_of(address, key) as client:
                made |= {
                    f"{name} {age}": client.post(path, json=wanted).json()["upload_id"] for age in ("old", "young")
                }
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name, upload_id in made.items():
            seconds = 661 if name.endswith("old") else 600
            connection.execute(
                "UPDATE batch_uploads SET created_at = now() - %s * interval '1 second' WHERE id = %s",
                (seconds, upload_id),
            )
        assert upkeep.sweep(gateway) == 2
        assert upkeep.sweep(gateway) == 0
        failed = connection.execute(
            "SELECT id::text, version, failure_code, completed_at IS NOT NULL FROM batch_uploads"
            " WHERE status = 'failed'"
        ).fetchall()
        assert sorted(failed) == sorted((made[f"{name} old"], 2, "S3_004", True) for name in ("ours", "other"))
        said = connection.execute("SELECT payload FROM outbox").fetchall()
    messages = [codec.decode(payload, UploadStatus) for (payload,) in said]
    assert {(str(message.upload_id), message.status, message.version) for message in messages} == {
        (made["ours old"], "failed", 2),
        (made["other old"], "failed", 2),
    }
