"""Topics of one's own on the shared broker, and clients that notice things soon."""

import time
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.runtime.settings import KafkaSettings


def quick(bootstrap_servers: str) -> KafkaSettings:
    """Groups form and faults are noticed in a second or two."""
    return KafkaSettings(
        bootstrap_servers=bootstrap_servers, session_timeout_ms=2_000, delivery_timeout_ms=1_500, fetch_wait_ms=50
    )


def new_topic(bootstrap_servers: str, partitions: int = 2) -> str:
    """A topic that only this test uses; its name serves for a group as well."""
    name = f"test-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(10)
    return name


def send(bootstrap_servers: str, topic: str, *values: bytes, partition: int = -1) -> None:
    """Send these, and wait until the broker has them."""
    producer = Producer(KafkaSettings(bootstrap_servers=bootstrap_servers, delivery_timeout_ms=30_000), linger_ms=0)
    failures: list[str | None] = []
    for value in values:
        producer.send(topic, value, partition=partition, on_delivery=failures.append)
    assert producer.flush(30) == 0
    assert failures == [None] * len(values)


def take(consumer: Consumer, count: int, *, seconds: float = 20.0, at_most: int = 100) -> list[Received]:
    """Poll until so many have come."""
    taken: list[Received] = []
    deadline = time.monotonic() + seconds
    while len(taken) < count:
        assert time.monotonic() < deadline, f"only {len(taken)} of {count} messages came"
        taken += consumer.poll(at_most=at_most, timeout=0.2)
    return taken


def values(messages: list[Received]) -> list[bytes]:
    return [message.value for message in messages]
