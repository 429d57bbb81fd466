"""Every message's fate is reported, whatever happens to the broker."""

import time
from functools import partial

import pytest
from prometheus_client import REGISTRY

from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.delivery import deliver
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNKS, DEAD_LETTERS, TOPICS, UPLOADS, create_topics, topic_partitions
from tests import servers
from tests.contract.kafka.support import new_topic, quick, take, values


def never(reason: str) -> None:
    raise AssertionError(reason)


def test_messages_arrive_with_key_headers_and_partition(broker: str) -> None:
    topic = new_topic(broker, partitions=3)
    producer = Producer(quick(broker))
    reports: list[str | None] = []
    producer.send(topic, b"a", key=b"k", headers={"ce_id": "1", "ü": "ö"}, partition=2, on_delivery=reports.append)
    producer.send(topic, b"b", key=b"same", on_delivery=reports.append)
    producer.send(topic, b"c", key=b"same", on_delivery=reports.append)
    producer.poll(0.01)
    assert producer.flush(10) == 0
    assert reports == [None, None, None]
    consumer = Consumer(quick(broker), group=topic, topics=[topic])
    taken = {message.value: message for message in take(consumer, 3)}
    consumer.close()
    assert (taken[b"a"].partition, taken[b"a"].key) == (2, b"k")
    assert taken[b"a"].headers == {"ce_id": "1", "ü": "ö"}
    assert taken[b"b"].partition == taken[b"c"].partition


def test_a_message_beyond_the_limit_is_poison_and_the_next_one_goes_out(broker: str) -> None:
    topic = new_topic(broker)
    producer = Producer(quick(broker).model_copy(update={"max_message_bytes": 100_000}))
    with pytest.raises(Poison, match="150000 bytes"):
        producer.send(topic, bytes(150_000))
    reports: list[str | None] = []
    producer.send(topic, bytes(90_000), on_delivery=reports.append)
    producer.flush(10)
    assert reports == [None]


def test_a_full_buffer_is_waited_for(broker: str) -> None:
    topic = new_topic(broker)
    producer = Producer(quick(broker))
    producer._config["queue.buffering.max.messages"] = 3
    producer._make_anew()
    reports: list[str | None] = []
    for number in range(20):
        producer.send(topic, b"%d" % number, on_delivery=reports.append)
    producer.flush(10)
    assert reports == [None] * 20


def test_partitions_are_known_and_a_missing_topic_is_not_made_by_asking(broker: str) -> None:
    producer = Producer(quick(broker))
    assert producer.partitions_of(CHUNKS) == 8
    with pytest.raises(Retryable, match=r"no topic no\.such\.topic; `rowstream topics --make`"):
        producer.partitions_of("no.such.topic")
    assert "no.such.topic" not in topic_partitions(broker)


def test_after_a_broker_that_lost_its_state_it_goes_on_and_no_report_is_lost(own_broker: servers.Broker) -> None:
    producer = Producer(quick(own_broker.address), linger_ms=0)
    reports: dict[int, str | None] = {}

    def send(number: int) -> None:
        producer.send(UPLOADS, b"%d" % number, on_delivery=partial(reports.__setitem__, number))

    for number in range(10):
        send(number)
    assert producer.flush(10) == 0
    assert list(reports.values()) == [None] * 10

    own_broker.kill()
    own_broker.lose_log()
    with pytest.raises(Retryable, match="does not answer"):
        producer.partitions_of(UPLOADS, timeout=0.5)
    send(10)
    time.sleep(1.2)
    send(11)
    deadline = time.monotonic() + 10
    while 10 not in reports and time.monotonic() < deadline:
        producer.poll(0.1)
    assert reports[10]
    assert 11 not in reports
    send(12)  # with a client made anew; what the old one still had is told first
    assert reports[11]
    own_broker.start()
    number = 13
    while reports.get(number - 1, "not yet") is not None:  # until one goes through
        assert number < 60, reports
        try:
            send(number)
        except Retryable:
            reports[number] = "not taken"
        producer.flush(2)
        number += 1
    assert sorted(reports) == list(range(number))  # each has its fate


def test_what_must_not_be_lost_is_sent_until_it_is_delivered(own_broker: servers.Broker) -> None:
    producer = Producer(quick(own_broker.address), linger_ms=0)
    producer.send(UPLOADS, b"before")
    assert producer.flush(10) == 0
    own_broker.kill()
    pauses: list[str] = []

    def mend(reason: str) -> None:
        pauses.append(reason)
        assert len(pauses) < 100
        if len(pauses) == 1:
            own_broker.start()
        time.sleep(0.1)

    def send(value: bytes, on_delivery: OnDelivery) -> None:
        producer.send(UPLOADS, value, on_delivery=on_delivery)

    deliver(producer, [partial(send, b"%d" % number) for number in range(20)], pause=mend)
    assert pauses
    consumer = Consumer(quick(own_broker.address), group="after", topics=[UPLOADS])
    taken: set[bytes] = set()
    deadline = time.monotonic() + 20
    kept = {b"before"} if own_broker.keeps_its_log else set()
    while len(taken) < 20 + len(kept) and time.monotonic() < deadline:
        taken.update(values(consumer.poll(at_most=100, timeout=0.2)))
    consumer.close()
    assert taken == kept | {b"%d" % number for number in range(20)}


def test_waiting_for_a_delivery_ends_when_somebody_says_so(own_broker: servers.Broker) -> None:
    producer = Producer(quick(own_broker.address))
    own_broker.kill()

    class Asked(Exception):
        pass

    def stop(_: str) -> None:
        raise Asked

    with pytest.raises(Asked):
        deliver(producer, [lambda report: producer.send(UPLOADS, b"x", on_delivery=report)], pause=stop)


def test_a_message_that_is_put_aside_says_where_it_stood_and_why(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    producer = Producer(quick(broker).model_copy(update={"max_message_bytes": 200_000}))
    large = Producer(quick(broker))
    large.send(topic, b"odd", key=b"k", headers={"mine": "1"})
    large.send(topic, bytes(500_000), headers={"long": "x" * 5_000})
    large.flush(10)
    consumer = Consumer(quick(broker), group=topic, topics=[topic])
    odd, huge = take(consumer, 2)
    consumer.close()
    deliver(
        producer,
        [
            lambda report: put_aside(
                producer, odd, stage="VALUE_CONVERTER", error=Poison("not ours"), on_delivery=report
            ),
            lambda report: put_aside(producer, huge, stage="TASK_PUT", error=Poison("too large"), on_delivery=report),
        ],
        pause=never,
    )
    reader = Consumer(quick(broker), group=topic, topics=[DEAD_LETTERS])
    found: dict[str, Received] = {}
    while len(found) < 2:
        for message in reader.poll(at_most=100, timeout=0.5):
            if message.headers.get("__connect.errors.topic") == topic:
                found[message.headers["__connect.errors.offset"]] = message
    reader.close()
    assert (found["0"].value, found["0"].key) == (b"odd", b"k")
    assert found["0"].headers == {
        "mine": "1",
        "__connect.errors.topic": topic,
        "__connect.errors.partition": "0",
        "__connect.errors.offset": "0",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.exception.class.name": "Poison",
        "__connect.errors.exception.message": "not ours",
    }
    # Of one that is larger than what may be sent the beginning is kept.
    assert found["1"].value == bytes(65_536)
    assert found["1"].headers["rowstream.errors.full_bytes"] == "500000"
    assert found["1"].headers["long"] == "x" * 1_000


def test_a_message_that_is_put_aside_counts_once_however_often_it_is_sent(own_broker: servers.Broker) -> None:
    producer = Producer(quick(own_broker.address))
    odd = Received("odd.topic", 0, 7, None, b"odd", {})
    counted = "rowstream_dead_letters_total", {"topic": "odd.topic"}
    before = REGISTRY.get_sample_value(*counted) or 0
    failed: list[str | None] = []
    own_broker.kill()

    def send(on_delivery: OnDelivery) -> None:
        def report(error: str | None) -> None:
            failed.append(error)
            on_delivery(error)

        put_aside(producer, odd, stage="TASK_PUT", error=Poison("not ours"), on_delivery=report)

    def mend(_: str) -> None:
        if len(failed) >= 2 and own_broker.process is None:
            assert (REGISTRY.get_sample_value(*counted) or 0) == before
            own_broker.start()
        time.sleep(0.1)

    deliver(producer, [send], pause=mend)
    assert len(failed) >= 3
    assert REGISTRY.get_sample_value(*counted) == before + 1


def test_topics_are_made_once_with_the_partitions_that_were_recorded(own_broker: servers.Broker) -> None:
    address = own_broker.address
    assert create_topics(address) == []  # the fixture made them
    declared = {topic.name: topic.partitions for topic in TOPICS}
    assert {name: count for name, count in topic_partitions(address).items() if name in declared} == declared
    own_broker.settle = lambda: None
    own_broker.kill()
    own_broker.lose_log()
    own_broker.start()
    assert set(create_topics(address, partitions={CHUNKS: 3})) == declared.keys()
    assert topic_partitions(address) | {} == declared | {CHUNKS: 3}
    assert create_topics(address, partitions={CHUNKS: 5}) == []
    assert topic_partitions(address)[CHUNKS] == 3


def test_topics_cannot_be_looked_at_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowstream.kafka.topics.TIMEOUT_SECONDS", 0.5)
    with pytest.raises(Retryable, match=r"127\.0\.0\.1:1 does not answer"):
        create_topics("127.0.0.1:1")
