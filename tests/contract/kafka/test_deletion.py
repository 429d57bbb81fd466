"""Topics and groups that are deleted begin anew."""

from rowstream.kafka.consumer import Consumer
from rowstream.kafka.deletion import delete_group, delete_topic
from rowstream.kafka.topics import Topic, create_topics
from tests.contract.kafka.support import new_topic, quick, send, take, values


def taken(broker: str, topic: str, count: int) -> list[bytes]:
    """What a member of the group named as the topic gets, acknowledges, and leaves."""
    member = Consumer(quick(broker), group=topic, topics=[topic])
    try:
        received = take(member, count)
        member.settle(received)
    finally:
        member.close()
    return values(received)


def test_a_group_that_was_deleted_reads_from_the_beginning_and_a_topic_has_a_new_one(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, b"1", b"2", b"3")
    assert taken(broker, topic, 3) == [b"1", b"2", b"3"]
    delete_group(broker, topic)
    assert taken(broker, topic, 3) == [b"1", b"2", b"3"]
    for _ in range(2):  # the second time there is nothing to delete
        delete_topic(broker, topic)
        delete_group(broker, topic)
    create_topics(broker, topics=[Topic(topic, 1, "none", "tests")])
    send(broker, topic, b"4", b"5", b"6", b"7")
    assert taken(broker, topic, 4) == [b"4", b"5", b"6", b"7"]
