"""Quotas of organizations: no way in and no race gets past them, and what is refused leaves nothing behind."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID, uuid4

import psycopg
import pytest

from ingest_gateway import accept, quotas
from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.store import ObjectInfo
from tests import gateways, servers

HANDED = accept.Handed(record_type="member_certification", filename="a.csv")
FOUND = ObjectInfo("etag", 3, "v1")
MANY = 12


def allow(url: str, name: str, most: int, organization_id: UUID = DEFAULT_ORGANIZATION) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            f"UPDATE organizations SET {name} = %s WHERE id = %s",  # noqa: S608 - a column that a test names
            (most, organization_id),
        )


def origin(organization_id: UUID = DEFAULT_ORGANIZATION) -> accept.Origin:
    return accept.Origin(by=gateways.doer(organization_id), source="api", event_id=str(uuid4()), traceparent="t")


def reserve(gateway: Gateway, size_bytes: int | None = 3) -> UUID:
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        return accept.reserve(connection, origin(), HANDED, size_bytes=size_bytes, bucket="b").upload_id


def confirm(gateway: Gateway, upload_id: UUID, found: ObjectInfo = FOUND) -> bool:
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        return accept.confirm(connection, gateways.doer(), upload_id, found)


def take_in(gateway: Gateway, organization_id: UUID = DEFAULT_ORGANIZATION, found: ObjectInfo = FOUND) -> UUID | None:
    with gateway.acting_for(organization_id) as connection:
        return accept.take_in(connection, origin(organization_id), HANDED, bucket="b", key="k", found=found)


def refused(kind: str) -> "pytest.RaisesExc[quotas.OverQuota]":
    return pytest.raises(quotas.OverQuota, check=lambda error: error.kind == kind)


def count(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return int(row[0])


def test_many_confirmations_at_once_do_not_pass_the_number_of_open_uploads(gateway: Gateway, database_url: str) -> None:
    reserved = [reserve(gateway) for _ in range(MANY)]
    allow(database_url, "max_open_uploads", 5)
    barrier = Barrier(MANY)

    def race(upload_id: UUID) -> bool:
        barrier.wait()
        try:
            return confirm(gateway, upload_id)
        except quotas.OverQuota:
            return False

    with ThreadPoolExecutor(MANY) as pool:
        assert sum(pool.map(race, reserved)) == 5
    assert count(database_url, "SELECT count(*) FROM batch_uploads WHERE status = 'pending'") == 5
    assert count(database_url, "SELECT count(*) FROM outbox WHERE topic = 'rowstream.uploads.v1'") == 5
    assert count(database_url, "SELECT count(*) FROM acts WHERE action = 'upload.accepted'") == 5


def test_confirmed_and_taken_in_count_together(gateway: Gateway, database_url: str) -> None:
    allow(database_url, "max_open_uploads", 2)
    upload_id = reserve(gateway)
    assert confirm(gateway, upload_id)
    assert take_in(gateway)
    with refused("too_many_open_uploads"):
        take_in(gateway)
    with refused("too_many_open_uploads"):
        reserve(gateway)
    assert not confirm(gateway, upload_id), "what was accepted before is not refused afterwards"


@pytest.mark.parametrize(
    ("status", "passes"),
    [("completed", True), ("failed", True), ("cancelled", True), ("processing", False), ("needs_review", False)],
)
def test_an_upload_that_has_ended_makes_room(gateway: Gateway, database_url: str, status: str, *, passes: bool) -> None:
    allow(database_url, "max_open_uploads", 1)
    upload_id = take_in(gateway)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE batch_uploads SET status = %s WHERE id = %s", (status, upload_id))
    if passes:
        assert take_in(gateway)
    else:
        with refused("too_many_open_uploads"):
            take_in(gateway)


def test_a_file_that_is_too_large_is_refused_when_announced_and_when_it_is_there(
    gateway: Gateway, database_url: str
) -> None:
    allow(database_url, "max_upload_bytes", 3)
    with refused("file_too_large"):
        reserve(gateway, size_bytes=4)
    assert confirm(gateway, reserve(gateway, size_bytes=3))
    of_unknown_size = reserve(gateway, size_bytes=None)
    with refused("file_too_large"):
        confirm(gateway, of_unknown_size, ObjectInfo("etag", 4, None))
    with refused("file_too_large"):
        take_in(gateway, found=ObjectInfo("etag", 4, None))
    assert count(database_url, "SELECT count(*) FROM batch_uploads WHERE status = 'awaiting_upload'") == 1


def test_records_of_the_last_day_count_whether_the_upload_has_ended_or_not(gateway: Gateway, database_url: str) -> None:
    allow(database_url, "max_records_a_day", 100)
    ended, running = take_in(gateway), take_in(gateway)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE batch_uploads SET status = 'completed', total_records = 60 WHERE id = %s", (ended,))
        connection.execute(
            "INSERT INTO upload_splits (organization_id, batch_upload_id, attempt, record_type, records_split)"
            " VALUES (%s, %s, 1, 'member_certification', 39)",
            (DEFAULT_ORGANIZATION, running),
        )
        assert take_in(gateway)
        connection.execute("UPDATE upload_splits SET records_split = 40")
        with pytest.raises(quotas.OverQuota, match="100 records in 24 hours and has handed in 100") as over:
            take_in(gateway)
        assert over.value.retry_after
        assert 86_000 < over.value.retry_after <= 86_400
        connection.execute("UPDATE batch_uploads SET accepted_at = accepted_at - interval '25 hours'")
    assert take_in(gateway)


def test_quotas_of_one_organization_are_not_those_of_another(gateway: Gateway, database_url: str) -> None:
    other = servers.make_organization(database_url, "other")
    allow(database_url, "max_open_uploads", 1)
    assert take_in(gateway)
    assert all(take_in(gateway, other) for _ in range(3))
    allow(database_url, "max_open_uploads", 0, other)
    with refused("too_many_open_uploads"):
        take_in(gateway, other)


def test_over_http_each_refusal_is_a_problem(database_url: str, object_store: servers.Server) -> None:
    settings = gateways.gateway_settings(database_url, servers.storage_settings(object_store))
    with (
        gateways.serving(settings) as address,
        gateways.client_of(address, gateways.new_key(database_url)) as client,
    ):
        wanted = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 3}
        for quota, status, kind in (
            ("max_upload_bytes", 413, "file_too_large"),
            ("max_open_uploads", 409, "too_many_open_uploads"),
            ("max_records_a_day", 429, "records_quota_used_up"),
        ):
            allow(database_url, quota, 0)
            answer = client.post("/api/v1/batch_uploads/presigned_url", json=wanted)
            assert (answer.status_code, answer.json()["type"]) == (status, f"urn:rowstream:problem:{kind}")
            assert answer.json()[quota] == 0
            assert ("retry-after" in answer.headers) == (status == 429)
            allow(database_url, quota, 10**9)
        assert client.post("/api/v1/batch_uploads/presigned_url", json=wanted).status_code == 201
