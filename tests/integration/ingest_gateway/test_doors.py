"""The last step of every way in over HTTP, where two of them meet: what was accepted is never removed."""

from dataclasses import replace
from uuid import uuid4

import pytest

from ingest_gateway import accept, waiting
from ingest_gateway.api import doors
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import Problem
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.store import ObjectInfo
from tests import gateways, servers

HANDED = accept.Handed(record_type="member_certification", filename="a.csv")


@pytest.fixture
def place(gateway: Gateway) -> accept.Place:
    origin = accept.Origin(by=gateways.doer(), source="api", event_id=str(uuid4()), traceparent="t")
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        return accept.reserve(connection, origin, HANDED, size_bytes=None, bucket=servers.BUCKET)


def stored(gateway: Gateway, place: accept.Place, body: bytes = b"a,b\n") -> ObjectInfo:
    return gateway.store.put_bytes(place.bucket, place.key, body)


def left(gateway: Gateway, place: accept.Place) -> set[str]:
    return set(gateway.store.keys_under(place.bucket, place.key))


def test_of_two_that_bring_the_file_of_one_upload_the_seconds_is_removed(gateway: Gateway, place: accept.Place) -> None:
    first, second = (replace(place, key=f"{place.key}.{name}") for name in ("first", "second"))
    found = {one.key: stored(gateway, one) for one in (place, first, second)}
    assert doors.take(gateway, gateways.doer(), first, found[first.key], how="content")
    assert not doors.take(gateway, gateways.doer(), second, found[second.key], how="content")
    assert left(gateway, place) == {place.key, first.key}
    assert not doors.take(gateway, gateways.doer(), place, found[place.key], how="presigned")
    assert left(gateway, place) == {first.key}
    assert not doors.take(gateway, gateways.doer(), first, found[first.key], how="content")
    assert left(gateway, place) == {first.key}


def test_what_comes_after_its_upload_was_dropped_is_removed(gateway: Gateway, place: accept.Place) -> None:
    found = stored(gateway, place)
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        assert waiting.drop(connection, gateways.doer(), place.upload_id)
    assert not doors.take(gateway, gateways.doer(), place, found, how="parts")
    assert left(gateway, place) == set()


def test_what_is_no_text_ends_its_upload_but_not_one_that_was_accepted(gateway: Gateway, place: accept.Place) -> None:
    first = replace(place, key=f"{place.key}.first")
    assert doors.take(gateway, gateways.doer(), first, stored(gateway, first), how="content")
    with pytest.raises(Problem) as refusal:
        doors.take(gateway, gateways.doer(), place, stored(gateway, place), how="presigned", reason="it is a picture")
    assert refusal.value.kind == "not_a_table_of_text"
    assert first.key in left(gateway, place)
    with gateway.acting_for(DEFAULT_ORGANIZATION) as connection:
        now = accept.place_of(connection, place.upload_id)
    assert now is not None
    assert (now.status, now.key) == ("pending", first.key)
