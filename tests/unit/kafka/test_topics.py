"""Which topics a system has."""

from rowstream.kafka.topics import TOPICS, topics_with


def test_each_announced_record_type_has_a_topic_of_its_own() -> None:
    assert topics_with([]) == TOPICS
    (further,) = topics_with(["thing"])[len(TOPICS) :]
    assert (further.name, further.carries.partition(":")[0]) == ("rowstream.records.thing.v1", "RecordAccepted")
