"""What a real S3 server tells on a real Kafka of the objects that partners put into it, and what others tell there."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from confluent_kafka import Producer as PlainProducer

from ingest_gateway.arrivals.s3_topic import GROUP, STAGE, reader_of
from ingest_gateway.sources import SourcesFile
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import DEAD_LETTERS, Topic, create_topics
from rowstream.messages.envelope import headers_as_text
from tests import gateways, servers

TOPIC = "objects-of-partners"
BUCKET = servers.BUCKET
SOURCES = f"""
[[s3]]
name = "acme"
organization = "default"
record_type = "member_certification"
bucket = "{BUCKET}"
prefix = "acme/"
suffix = ".csv"
"""


@dataclass(frozen=True)
class Place:
    """A database, a broker, a store that tells on it, and a sources file."""

    url: str
    kafka: servers.ApacheKafka
    store: servers.Server
    sources: Path

    def put(self, key: str, body: bytes) -> str:
        return servers.store_of(self.store).put(BUCKET, key, io.BytesIO(body)).etag

    def tell(self, *bodies: bytes) -> None:
        """What another store, or a stranger, tells: in all partitions."""
        producer = PlainProducer({"bootstrap.servers": self.kafka.address})
        for body in bodies:
            for partition in (0, 1):
                producer.produce(TOPIC, body, partition=partition)
        assert producer.flush(10) == 0

    def rows(self) -> list[tuple[Any, ...]]:
        query = "SELECT s3_key, filename, etag FROM batch_uploads ORDER BY created_at"
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def wait_for(self, count: int) -> list[tuple[Any, ...]]:
        servers.until(lambda: len(self.rows()) >= count, seconds=60, what=f"upload {count}")
        return self.rows()

    @contextmanager
    def hearing(self, store: servers.Server | None = None) -> Iterator[None]:
        """A reader of the topic in a thread, with this store or another one."""
        storage = servers.storage_settings(store or self.store)
        kafka = servers.kafka_settings(self.kafka.address)
        stop = threading.Event()
        with gateways.opened(gateways.gateway_settings(self.url, storage)) as gateway:
            consumer = Consumer(kafka, group=GROUP, topics=[TOPIC])
            reader = reader_of(gateway, SourcesFile(self.sources), consumer, Producer(kafka), delivery_seconds=5)
            thread = threading.Thread(target=reader.run, args=(stop,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(30)
                assert not thread.is_alive()


@pytest.fixture
def place(tmp_path: Path, database_url: str, own_kafka: servers.ApacheKafka) -> Iterator[Place]:
    sources = tmp_path / "sources.toml"
    sources.write_text(SOURCES)
    create_topics(own_kafka.address, topics=[Topic(TOPIC, 2, key="none", carries="events of the store")])
    options = ("--event-kafka-url", own_kafka.address, "--event-kafka-topic", TOPIC)
    with servers.versitygw_server(tmp_path / "store", *options) as store:
        yield Place(database_url, own_kafka, store, sources)


def test_what_partners_put_there_is_taken_once_each_time_that_it_is_written(place: Place) -> None:
    keys = ["acme/members.csv", "acme/März 1+2 & 50%2F.csv"]
    with place.hearing():
        place.put("acme/readme.txt", b"no file of records")
        place.put("elsewhere/members.csv", b"of somebody else")
        expected = []
        for number, key in enumerate(keys, start=1):
            expected.append((key, key.rpartition("/")[2], place.put(key, b"a")))
            assert place.wait_for(number) == expected
        place.store.kill()
        place.store.start()  # it counts its events anew
        expected.append((keys[0], "members.csv", place.put(keys[0], b"b")))
        assert place.wait_for(3) == expected
    with place.hearing():  # what was heard is not heard again, nor is anything left
        expected.append(("acme/last.csv", "last.csv", place.put("acme/last.csv", b"c")))
        assert place.wait_for(4) == expected


def test_what_is_no_event_is_put_aside_with_its_reason_and_the_rest_goes_on(place: Place) -> None:
    etag = place.put("acme/a.csv", b"a")
    hostile = {"bucket": {"name": BUCKET}, "object": {"key": "acme/../secrets.csv", "eTag": etag}}
    place.tell(b"\xff no event", json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": hostile}]}).encode())
    with place.hearing():
        assert len(place.wait_for(1)) == 1
        letters = servers.messages_in(place.kafka.address, DEAD_LETTERS, 4, seconds=30)
    headers = [headers_as_text(cast("list[tuple[str, bytes | None]]", letter.headers() or [])) for letter in letters]
    assert {header["__connect.errors.stage"] for header in headers} == {STAGE}
    reasons = [header["__connect.errors.exception.message"] for header in headers]
    assert sorted("JSON" in reason for reason in reasons) == [False, False, True, True]
    assert sum("between its slashes" in reason for reason in reasons) == 2


def test_while_the_store_is_away_what_it_told_waits(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.put("acme/a.csv", b"a")
    servers.until(lambda: len(servers.messages_in(place.kafka.address, TOPIC, 2)) == 2, what="the event")
    place.store.kill()
    with place.hearing():
        servers.until(lambda: "message waits" in capsys.readouterr().out, seconds=60, what="a look for the object")
        place.store.start()
        assert [key for key, *_ in place.wait_for(1)] == ["acme/a.csv"]
    assert servers.messages_in(place.kafka.address, DEAD_LETTERS, 0) == []
