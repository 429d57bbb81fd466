"""The servers of the tests themselves: isolated, restartable."""

import io

import psycopg
import pytest

from rowstream.kafka.topics import TOPICS, topic_partitions
from rowstream.storage.s3 import S3Store
from tests import servers


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_has_a_database_of_its_own(database_url: str, _: int) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT name FROM organizations").fetchall() == [("default",)]
        connection.execute("UPDATE organizations SET name = 'changed'")


def test_the_broker_has_every_topic(broker: str) -> None:
    assert {topic.name for topic in TOPICS} <= topic_partitions(broker).keys()


def test_a_broker_comes_back_with_its_topics(own_broker: servers.Server) -> None:
    own_broker.kill()
    assert not servers.listens(own_broker.port)
    own_broker.start()
    assert {topic.name for topic in TOPICS} <= topic_partitions(own_broker.address).keys()


def test_the_object_store_keeps_objects(store: S3Store) -> None:
    info = store.put(servers.BUCKET, "a/b", io.BytesIO(b"abc"))
    assert store.look(servers.BUCKET, "a/b") == info
    assert info.size == 3
