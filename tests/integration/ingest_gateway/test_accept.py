"""The one use case under contention: whoever comes first accepts, and it is said once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID, uuid4

import psycopg
import pytest

from ingest_gateway import accept
from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.store import ObjectInfo
from tests import gateways, servers

FOUND = ObjectInfo("etag", 3, "v1")
HANDED = accept.Handed(record_type="member_certification", filename="a.csv")
MANY = 6


def origin(event_id: str) -> accept.Origin:
    return accept.Origin(by=gateways.doer(), source="api", event_id=event_id, traceparent="t")


def outbox_count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM outbox WHERE topic = 'rowstream.uploads.v1'").fetchone()
    assert row
    return int(row[0])


def test_many_reservations_of_one_event_are_one_place(gateway: Gateway) -> None:
    barrier = Barrier(MANY)

    def reserve(_: int) -> UUID:
        barrier.wait()
        with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
            return accept.reserve(connection, origin("e"), HANDED, size_bytes=3, bucket="b").upload_id

    with ThreadPoolExecutor(MANY) as pool:
        assert len(set(pool.map(reserve, range(MANY)))) == 1


def test_many_confirmations_accept_once(gateway: Gateway, database_url: str) -> None:
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        upload_id = accept.reserve(connection, origin("e"), HANDED, size_bytes=3, bucket="b").upload_id
    barrier = Barrier(MANY)

    def confirm(_: int) -> bool:
        barrier.wait()
        with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
            return accept.confirm(connection, gateways.doer(), upload_id, FOUND)

    with ThreadPoolExecutor(MANY) as pool:
        assert sorted(pool.map(confirm, range(MANY))) == [False] * (MANY - 1) + [True]
    assert outbox_count(database_url) == 1


def test_many_requests_of_one_event_are_taken_in_once(gateway: Gateway, database_url: str) -> None:
    barrier = Barrier(MANY)

    def take_in(_: int) -> UUID | None:
        barrier.wait()
        with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
            return accept.take_in(connection, origin("e"), HANDED, bucket="b", key="k", found=FOUND)

    with ThreadPoolExecutor(MANY) as pool:
        assert sum(1 for made in pool.map(take_in, range(MANY)) if made) == 1
    assert outbox_count(database_url) == 1


def test_an_upload_and_what_is_said_of_it_are_stored_together_or_not_at_all(
    gateway: Gateway, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE outbox ADD CONSTRAINT nothing CHECK (false) NOT VALID")
    with pytest.raises(Exception, match="nothing"), gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        accept.take_in(connection, origin("e"), HANDED, bucket="b", key="k", found=FOUND)
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        assert accept.find(connection, "api", "e") is None


def test_another_organization_cannot_confirm(gateway: Gateway, database_url: str) -> None:
    other = servers.make_organization(database_url, "other")
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        upload_id = accept.reserve(connection, origin(str(uuid4())), HANDED, size_bytes=3, bucket="b").upload_id
    with gateway.acting_for(other) as connection:
        assert not accept.confirm(connection, gateways.doer(), upload_id, FOUND)
        assert accept.place_of(connection, upload_id) is None


def test_one_organization_cannot_write_into_another(gateway: Gateway, database_url: str) -> None:
    other = servers.make_organization(database_url, "other")
    with (
        pytest.raises(Exception, match="row-level security"),
        gateway.acting_for(other) as connection,
    ):
        accept.take_in(connection, origin("e"), HANDED, bucket="b", key="k", found=FOUND)
