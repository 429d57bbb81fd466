"""How tests reach the servers."""

import time
from uuid import UUID, uuid4

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from rowstream.runtime.settings import KafkaSettings, StorageSettings
from rowstream.storage.s3 import S3Store
from tests.servers.localbucket import BUCKET
from tests.servers.server import Server


def kafka_settings(bootstrap_servers: str) -> KafkaSettings:
    """Settings for the broker of the tests: groups form, and faults are noticed, in seconds."""
    return KafkaSettings(bootstrap_servers=bootstrap_servers, delivery_timeout_ms=3_000, fetch_wait_ms=50)


def storage_settings(server: Server) -> StorageSettings:
    """Settings for an S3 server of the tests; without presigned POST, which the embedded one has not."""
    return StorageSettings.model_validate(
        {
            "endpoint_url": f"http://{server.address}",
            "access_key_id": "tests",
            "secret_access_key": "tests-secret",
            "bucket": BUCKET,
            "presigned_post": False,
        }
    )


def store_of(server: Server) -> S3Store:
    """A client of the S3 server of the tests."""
    return S3Store(storage_settings(server))


def make_organization(url: str, name: str) -> UUID:
    """A further organization in the database at `url`."""
    organization_id = uuid4()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO organizations (id, name) VALUES (%s, %s)", (organization_id, name))
    return organization_id


def messages_in(bootstrap_servers: str, topic: str, at_least: int = 0, *, seconds: float = 10.0) -> list[Message]:
    """What a topic holds, oldest first in each partition: at least so many, or what is there after `seconds`.

    Reads without a group, since forming one takes seconds.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found: list[Message] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
        elif len(found) >= at_least:
            break  # half a second of silence after the last one
    consumer.close()
    return found
