"""What is cleaned up by the clock: what uploads left in the object store that were never accepted, and kept answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import psycopg
import pytest

from ingest_gateway import upkeep
from ingest_gateway.accept import RAW_UPLOADS
from ingest_gateway.gateway import Gateway
from rowstream.errors import Retryable
from rowstream.storage.store import Begun, PartsGone
from tests import gateways, servers

ROOT = "/api/v1/batch_uploads"
WANTED = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 3}
PRESIGNED_SECONDS, PARTS_SECONDS = 60 + 600, 5_000


@pytest.fixture
def gateway(database_url: str, object_store: servers.Server) -> Iterator[Gateway]:
    settings = gateways.gateway_settings(
        database_url, servers.storage_settings(object_store), presign_seconds=60, expiry_grace_seconds=600
    )
    settings.sending.parts_keep_seconds = PARTS_SECONDS
    settings.sending.answers_keep_seconds = 1_000
    with gateways.opened(settings) as gateway:
        yield gateway


@pytest.fixture
def api(gateway: Gateway, database_url: str) -> Iterator[httpx.Client]:
    with (
        gateways.serving(gateway.settings) as address,
        gateways.client_of(address, gateways.new_key(database_url)) as api,
    ):
        yield api


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def age(database: psycopg.Connection, upload_id: str, seconds: int) -> str:
    """Let an upload have begun so long ago; returns its key."""
    query = "UPDATE batch_uploads SET created_at = now() - %s * interval '1 second' WHERE id = %s RETURNING s3_key"
    return str((database.execute(query, (seconds, upload_id)).fetchone() or [""])[0])


def status(api: httpx.Client, upload_id: str) -> str:
    return str(api.get(f"{ROOT}/{upload_id}").json()["status"])


def begun_in_parts(api: httpx.Client, gateway: Gateway, database: psycopg.Connection) -> tuple[str, Begun]:
    """An upload of which one part is there."""
    upload_id = api.post(f"{ROOT}/multipart", json=WANTED).json()["upload_id"]
    (part,) = api.post(f"{ROOT}/{upload_id}/parts", json={"numbers": [1]}).json()["items"]
    assert httpx.put(part["url"], content=b"abc").is_success
    query = "SELECT s3_bucket, s3_key, s3_upload_id FROM multipart_uploads JOIN batch_uploads ON id = batch_upload_id"
    bucket, key, id_ = database.execute(f"{query} WHERE id = %s", (upload_id,)).fetchone() or ("", "", "")
    begun = Begun(bucket=bucket, key=key, id=id_)
    assert list(gateway.store.parts.there(begun))
    return upload_id, begun


def test_what_was_sent_and_never_confirmed_is_removed(
    api: httpx.Client, gateway: Gateway, database: psycopg.Connection
) -> None:
    made = api.post(f"{ROOT}/presigned_url", json=WANTED).json()
    assert httpx.put(made["url"], content=b"abc").is_success
    key = age(database, made["upload_id"], PRESIGNED_SECONDS + 1)
    gateway.store.put_bytes(servers.BUCKET, f"{key}.{uuid4()}", b"of a request whose gateway was killed")
    assert len(list(gateway.store.keys_under(servers.BUCKET, key))) == 2
    assert upkeep.sweep(gateway) == 1
    assert status(api, made["upload_id"]) == "failed"
    assert list(gateway.store.keys_under(servers.BUCKET, key)) == []


def test_what_was_accepted_stays(api: httpx.Client, gateway: Gateway, database: psycopg.Connection) -> None:
    asked = {"record_type": "member_certification", "filename": "a.csv"}
    upload_id = api.post(f"{ROOT}/content", params=asked, content=b"abc").json()["id"]
    key = age(database, upload_id, 10 * PARTS_SECONDS)
    assert upkeep.sweep(gateway) == 0
    assert gateway.store.look(servers.BUCKET, key).size == 3


def test_an_upload_in_parts_waits_longer(api: httpx.Client, gateway: Gateway, database: psycopg.Connection) -> None:
    upload_id, begun = begun_in_parts(api, gateway, database)
    age(database, upload_id, PARTS_SECONDS - 60)
    assert upkeep.sweep(gateway) == 0
    assert list(gateway.store.parts.there(begun))
    age(database, upload_id, PARTS_SECONDS + 1)
    assert upkeep.sweep(gateway) == 1
    assert status(api, upload_id) == "failed"
    with pytest.raises(PartsGone):
        gateway.store.parts.page(begun)


def test_many_are_given_up_in_several_transactions(
    api: httpx.Client, gateway: Gateway, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_AT_MOST", 2)
    for _ in range(5):
        age(database, api.post(f"{ROOT}/presigned_url", json=WANTED).json()["upload_id"], PRESIGNED_SECONDS + 1)
    assert upkeep.sweep(gateway) == 5


def test_while_the_store_is_away_nothing_is_given_up(
    api: httpx.Client, gateway: Gateway, database: psycopg.Connection
) -> None:
    upload_id, begun = begun_in_parts(api, gateway, database)
    age(database, upload_id, PARTS_SECONDS + 1)
    away = gateway.settings.model_copy(deep=True)
    away.storage.endpoint_url = f"http://127.0.0.1:{servers.free_port()}"
    with gateways.opened(away) as without_store, pytest.raises(Retryable):
        upkeep.sweep(without_store)
    assert status(api, upload_id) == "awaiting_upload"
    assert upkeep.sweep(gateway) == 1
    with pytest.raises(PartsGone):
        gateway.store.parts.page(begun)


def test_what_lay_in_a_bucket_that_is_gone_is_given_up_all_the_same(
    api: httpx.Client, gateway: Gateway, database: psycopg.Connection
) -> None:
    upload_id, _ = begun_in_parts(api, gateway, database)
    age(database, upload_id, PARTS_SECONDS + 1)
    database.execute("UPDATE batch_uploads SET s3_bucket = 'gone' WHERE id = %s", (upload_id,))
    assert upkeep.sweep(gateway) == 1
    assert status(api, upload_id) == "failed"


def test_parts_that_no_upload_knows_of_are_dropped_once_they_are_old(gateway: Gateway) -> None:
    ours, others = (
        Begun(bucket=servers.BUCKET, key=key, id=gateway.store.parts.begin(servers.BUCKET, key))
        for key in (f"{RAW_UPLOADS}{uuid4()}/{uuid4()}", f"exports/{uuid4()}")
    )
    assert upkeep.sweep_parts(gateway) == 0
    assert gateway.store.parts.page(ours) == []

    later = datetime.now(UTC) + timedelta(seconds=2 * PARTS_SECONDS + 60)
    assert upkeep.sweep_parts(gateway, now=later) >= 1
    with pytest.raises(PartsGone):
        gateway.store.parts.page(ours)
    assert gateway.store.parts.page(others) == []


def test_answers_are_kept_for_a_while(api: httpx.Client, gateway: Gateway, database: psycopg.Connection) -> None:
    body, headers = {"upload_id": str(uuid4())}, {"Idempotency-Key": "k"}

    def answers() -> int:
        return int((database.execute("SELECT count(*) FROM idempotency_keys").fetchone() or [0])[0])

    api.post(ROOT, json=body, headers=headers)
    database.execute("UPDATE idempotency_keys SET created_at = now() - interval '990 seconds'")
    assert (upkeep.sweep_answers(gateway), answers()) == (0, 1)
    database.execute("UPDATE idempotency_keys SET created_at = now() - interval '1001 seconds'")
    assert (upkeep.sweep_answers(gateway), answers()) == (1, 0)
