"""Objects that are sent in parts, and written without their size being known, on each of the object stores."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from rowstream.runtime.settings import StorageSettings
from rowstream.storage.parts import LEAST_PART_BYTES, MOST_PARTS, count_of, part_bytes_for, size_of
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import (
    Begun,
    ObjectChanged,
    ObjectMissing,
    Part,
    PartsGone,
    PartsRefused,
    StoreUnavailable,
)
from rowstream.storage.writer import ObjectWriter
from tests.servers import BUCKET, Server, store_of, until

PART = LEAST_PART_BYTES
DATA = os.urandom(PART + 1_000)


@pytest.fixture(scope="session", params=["localbucket", "versitygw"])
def object_store(request: pytest.FixtureRequest) -> Server:
    """Each of the servers; every test runs with both, unchanged."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def key() -> str:
    return f"raw-uploads/{uuid4()}/ä b.csv"


@pytest.fixture
def begun(store: S3Store, key: str) -> Iterator[Begun]:
    one = Begun(bucket=BUCKET, key=key, id=store.parts.begin(BUCKET, key))
    yield one
    store.parts.drop(one)


def content(store: S3Store, key: str) -> bytes:
    return store.peek(BUCKET, key, 10**9)[1]


def test_parts_that_were_put_to_their_addresses_make_the_object(store: S3Store, begun: Begun) -> None:
    for number, part in ((2, DATA[PART:]), (1, DATA[:PART])):
        url = store.parts.sign(begun, number, size=len(part), seconds=60)
        assert httpx.put(url, content=part).is_success
    there = list(store.parts.there(begun))
    assert [(part.number, part.size) for part in there] == [(1, PART), (2, 1_000)]
    assert list(store.parts.page(begun, after=1)) == there[1:]
    assert list(store.parts.page(begun, limit=1)) == there[:1]
    with pytest.raises(ObjectMissing):
        store.look(BUCKET, begun.key)
    store.parts.complete(begun, there)
    assert content(store, begun.key) == DATA


def test_a_part_that_is_sent_again_replaces_the_first(store: S3Store, begun: Begun) -> None:
    store.parts.send(begun, 1, b"first")
    second = store.parts.send(begun, 1, bytearray(b"again!"))
    assert list(store.parts.there(begun)) == [second] == [Part(number=1, size=6, etag=second.etag)]
    store.parts.complete(begun, [second])
    assert content(store, begun.key) == b"again!"


def test_what_is_not_as_the_store_has_it_is_not_put_together(store: S3Store, begun: Begun) -> None:
    first, second = store.parts.send(begun, 1, b"too small"), store.parts.send(begun, 2, b"the last")
    for parts in ([Part(number=1, size=9, etag="0" * 32)], [first, second], [Part(number=3, size=1, etag=first.etag)]):
        with pytest.raises(PartsRefused):
            store.parts.complete(begun, parts)


def test_what_was_put_together_or_dropped_has_no_parts(store: S3Store, begun: Begun) -> None:
    store.parts.drop(begun)
    store.parts.drop(begun)
    for call in (lambda: store.parts.send(begun, 1, b"x"), lambda: store.parts.page(begun)):
        with pytest.raises(PartsGone):
            call()
    with pytest.raises((PartsGone, PartsRefused)):
        store.parts.complete(begun, [Part(number=1, size=1, etag="0" * 32)])


def test_what_nobody_ended_is_found_by_its_age(store: S3Store, begun: Begun) -> None:
    def found(prefix: str, before: datetime) -> list[Begun]:
        return list(store.parts.left_over(BUCKET, prefix, before=before))

    soon, long_ago = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    folder = begun.key.rpartition("/")[0]
    assert found(folder, soon) == [begun]
    assert found(folder, long_ago) == []
    assert found("other/", soon) == []
    store.parts.drop(begun)
    assert found(folder, soon) == []


def test_a_strict_store_takes_a_part_of_its_size_and_in_its_time(versitygw: Server, key: str) -> None:
    store = store_of(versitygw)
    begun = Begun(bucket=BUCKET, key=key, id=store.parts.begin(BUCKET, key))
    url = store.parts.sign(begun, 1, size=5, seconds=60)
    assert httpx.put(url, content=b"hello!").status_code == 403
    assert httpx.put(url.replace("partNumber=1", "partNumber=2"), content=b"hello").status_code == 403
    assert list(store.parts.there(begun)) == []
    assert httpx.put(url, content=b"hello").is_success
    short = store.parts.sign(begun, 1, size=5, seconds=1)
    until(lambda: httpx.put(short, content=b"hello").status_code == 403, what="the end of an address")
    store.parts.drop(begun)


def test_a_presigned_address_has_an_end(versitygw: Server, key: str) -> None:
    presigned = store_of(versitygw).presign(BUCKET, key, size=5, seconds=1)
    until(lambda: httpx.put(presigned.url, content=b"hello").status_code == 403, what="the end of an address")


def test_a_presigned_address_used_again_is_noticed_by_the_entity_tag(store: S3Store, key: str) -> None:
    presigned = store.presign(BUCKET, key, size=5, seconds=60)
    assert httpx.put(presigned.url, content=b"first").is_success
    confirmed = store.look(BUCKET, key)
    assert httpx.put(presigned.url, content=b"other").is_success
    with pytest.raises(ObjectChanged):
        store.open(BUCKET, key, etag=confirmed.etag, size=confirmed.size)


@pytest.mark.parametrize("size", [0, 3, PART, PART + 1, 2 * PART])
def test_an_object_is_written_without_its_size_being_known(store: S3Store, key: str, size: int) -> None:
    data = (DATA + DATA)[:size]
    with ObjectWriter(store, BUCKET, key, part_bytes=PART) as writer:
        for at in range(0, size, 1_000_000):
            writer.write(data[at : at + 1_000_000])
        found = writer.finish()
    assert (found.size, writer.size) == (size, size)
    assert content(store, key) == data


@pytest.mark.parametrize("size", [3, PART + 1])
def test_what_is_not_finished_leaves_nothing(store: S3Store, key: str, size: int) -> None:
    with ObjectWriter(store, BUCKET, key, part_bytes=PART) as writer:
        writer.write((DATA)[:size])
    assert list(store.keys_under(BUCKET, key)) == []
    assert list(store.parts.left_over(BUCKET, key, before=datetime.now(UTC) + timedelta(hours=1))) == []


def test_an_object_is_looked_at_and_begun_to_read_at_once(store: S3Store, key: str) -> None:
    found = store.put_bytes(BUCKET, key, b"a,b\n1,2\n")
    assert store.peek(BUCKET, key, 3) == (found, b"a,b") == (store.look(BUCKET, key), b"a,b")
    assert store.peek(BUCKET, key, 8) == store.peek(BUCKET, key, 100) == (found, b"a,b\n1,2\n")
    store.delete(BUCKET, key)
    store.delete(BUCKET, key)
    with pytest.raises(ObjectMissing):
        store.peek(BUCKET, key, 3)
    empty = store.put_bytes(BUCKET, key, b"")
    assert store.peek(BUCKET, key, 3) == (empty, b"")


def test_a_store_that_does_not_answer_is_unavailable(store_settings: StorageSettings, key: str) -> None:
    nowhere = S3Store(store_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))
    begun = Begun(bucket=BUCKET, key=key, id="x")
    for call in (
        lambda: nowhere.parts.begin(BUCKET, key),
        lambda: nowhere.parts.drop(begun),
        lambda: nowhere.parts.page(begun),
        lambda: list(nowhere.parts.left_over(BUCKET, "", before=datetime.now(UTC))),
        lambda: list(nowhere.keys_under(BUCKET, "")),
        lambda: nowhere.delete(BUCKET, key),
        lambda: nowhere.peek(BUCKET, key, 1),
    ):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            call()


@pytest.mark.parametrize(
    ("size", "part_bytes", "parts"),
    [
        (1, 8 * 2**20, 1),
        (8 * 2**20, 8 * 2**20, 1),
        (8 * 2**20 + 1, 8 * 2**20, 2),
        (20 * 10**9, 8 * 2**20, 2_385),
        (50 * 10**9, 32 * 2**20, 1_491),
        (50_000 * 10**9, 5 * 2**30, 9_314),
    ],
)
def test_the_parts_size_follows_from_the_objects(size: int, part_bytes: int, parts: int) -> None:
    assert part_bytes_for(size) == part_bytes
    assert count_of(size, part_bytes) == parts <= MOST_PARTS
    assert sum(size_of(number, size, part_bytes) for number in range(1, parts + 1)) == size
