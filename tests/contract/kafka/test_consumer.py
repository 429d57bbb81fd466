"""A member of a group acknowledges what is settled and nothing else."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError
from prometheus_client import REGISTRY

from rowstream.errors import Fatal
from rowstream.kafka.consumer import Consumer, consumer_config
from rowstream.kafka.received import Received, received_of
from rowstream.kafka.watch import Watch
from rowstream.runtime.settings import KafkaSettings
from tests import servers
from tests.contract.kafka.support import new_topic, quick, send, take, values


@contextmanager
def member(broker: str, topic: str, **facts: Any) -> Iterator[Consumer]:
    """A member of the group that is named as the topic."""
    consumer = Consumer(quick(broker), group=topic, topics=[topic], **facts)
    try:
        yield consumer
    finally:
        consumer.close()


def offsets(messages: list[Received]) -> set[tuple[int, int]]:
    return {(message.partition, message.offset) for message in messages}


def test_what_was_not_settled_comes_again_to_the_next_member(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, *(b"%d" % number for number in range(10)))
    with member(broker, topic) as first:
        taken = take(first, 10)
        assert values(taken) == [b"%d" % number for number in range(10)]
        assert taken[3].topic == topic
        assert (taken[3].partition, taken[3].offset) == (0, 3)
        first.settle(taken[:4])
        first.commit()
        first.settle(taken[4:6])  # not committed, but the member leaves in order
    with member(broker, topic) as second:
        assert values(take(second, 4)) == [b"6", b"7", b"8", b"9"]
        second.commit()  # nothing was settled
    with member(broker, topic) as third:
        assert values(take(third, 4)) == [b"6", b"7", b"8", b"9"]


def test_polling_gives_what_is_there_and_no_more_than_wanted(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, *(b"%d" % number for number in range(7)))
    with member(broker, topic) as consumer:
        taken = take(consumer, 1, at_most=1)
        assert len(taken) == 1
        time.sleep(0.3)
        taken += consumer.poll(at_most=4, timeout=1)
        assert len(taken) <= 5
        started = time.monotonic()
        while len(taken) < 7:
            taken += consumer.poll(at_most=100, timeout=5)
        assert time.monotonic() - started < 2  # it does not wait for the hundred
        assert values(taken) == [b"%d" % number for number in range(7)]
        assert consumer.poll(at_most=10, timeout=0) == []


def test_a_rebalance_takes_with_it_what_is_settled_and_gives_nothing_twice(broker: str) -> None:
    topic = new_topic(broker, partitions=2)
    for partition in (0, 1):
        send(broker, topic, *(b"%d" % number for number in range(5)), partition=partition)
    with ExitStack() as stack:
        revoked: list[None] = []
        first = stack.enter_context(member(broker, topic, on_revoked=lambda: revoked.append(None)))
        taken = take(first, 10)
        first.settle(taken)
        assigned: list[None] = []
        second = stack.enter_context(member(broker, topic, on_assigned=lambda: assigned.append(None)))
        mine: list[Received] = []
        other: list[Received] = []

        def both_until(happened: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 20
            while not happened():
                assert time.monotonic() < deadline
                mine.extend(first.poll(at_most=10, timeout=0.1))
                other.extend(second.poll(at_most=10, timeout=0.1))

        both_until(lambda: bool(assigned and revoked) and len(first._ours) == len(second._ours) == 1)
        for partition in (0, 1):
            send(broker, topic, b"new", partition=partition)
        both_until(lambda: len(mine) + len(other) >= 2)
        assert values(mine) == values(other) == [b"new"]
        assert {message.partition for message in (*mine, *other)} == {0, 1}

        # What was received before is not this one's to acknowledge any more, however late it is done.
        first.settle(taken)
        assert not first._settled
        first.settle(mine)
        assert {partition for _, partition in first._settled} == {mine[0].partition}


def test_work_that_takes_longer_than_a_session_keeps_its_partitions_and_loses_no_message(broker: str) -> None:
    topic = new_topic(broker, partitions=2)
    for partition in (0, 1):
        send(broker, topic, *(b"%d" % number for number in range(3)), partition=partition)
    with member(broker, topic) as consumer:
        taken = take(consumer, 2, at_most=2)
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            consumer.keep_alive(0.1)
        send(broker, topic, b"late", partition=0)
        consumer.keep_alive(0.5)
        taken += take(consumer, 7 - len(taken))
        assert len(offsets(taken)) == len(taken) == 7
        for partition in (0, 1):
            in_order = [message.offset for message in taken if message.partition == partition]
            assert in_order == sorted(in_order)


def test_a_rebalance_during_long_work_loses_no_message(broker: str) -> None:
    topic = new_topic(broker, partitions=4)
    for partition in range(4):
        send(broker, topic, *(b"%d" % number for number in range(5)), partition=partition)
    with member(broker, topic) as busy:
        taken = take(busy, 1, at_most=1)
        with member(broker, topic) as visitor:
            seen: list[Received] = []
            assigned = time.monotonic() + 20
            while len({message.partition for message in seen}) < 2 and time.monotonic() < assigned:
                seen += visitor.poll(at_most=100, timeout=0.1)  # settles nothing
                busy.keep_alive(0.1)
            assert seen
        deadline = time.monotonic() + 15
        while len(busy._ours) < 4 and time.monotonic() < deadline:  # gets all back, while nothing is wanted
            busy.keep_alive(0.1)
        for _ in range(10):
            busy.keep_alive(0.1)
        busy.settle(taken)
        deadline = time.monotonic() + 15
        while len(offsets(taken)) < 20 and time.monotonic() < deadline:
            taken += busy.poll(at_most=100, timeout=0.2)
        assert offsets(taken) == {(partition, number) for partition in range(4) for number in range(5)}


def test_what_comes_while_nothing_is_wanted_is_kept_for_the_next_poll(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, *(b"%d" % number for number in range(5)))
    with member(broker, topic) as consumer:
        taken = take(consumer, 1, at_most=1)
        consumer._paused = True  # as after a rebalance: what was handed over is not paused yet
        deadline = time.monotonic() + 10
        while len(consumer._early) < 2 and time.monotonic() < deadline:
            consumer.keep_alive(0.2)
        assert values(consumer._early) == [b"1", b"2"]
        taken += consumer.poll(at_most=1, timeout=0.2)
        assert values(taken) == [b"0", b"1"]
        assert values([*taken, *take(consumer, 3)]) == [b"0", b"1", b"2", b"3", b"4"]


def test_an_offset_may_be_lower_than_the_last_since_a_log_can_begin_anew() -> None:
    consumer = Consumer(quick("127.0.0.1:1"), group="g", topics=["t"])
    consumer._ours = {("t", 0)}
    for offset in (7, 2):
        consumer.settle([Received("t", 0, offset, None, b"", {}), Received("t", 1, 9, None, b"", {})])
    assert consumer._settled == {("t", 0): 3}
    consumer._ours = set()


def test_a_broker_that_lost_its_log_is_read_from_its_new_beginning(own_broker: servers.Broker) -> None:
    address = own_broker.address
    topic = "rowstream.uploads.v1"
    send(address, topic, *(b"old" for _ in range(8)), partition=0)
    with member(address, topic) as consumer:
        taken = take(consumer, 8)
        consumer.settle(taken)
        consumer.commit()
        time.sleep(0.5)
        own_broker.kill()
        own_broker.lose_log()
        for _ in range(5):
            assert consumer.poll(at_most=10, timeout=0.1) == []
            consumer.measure_lag()
        own_broker.start()
        send(address, topic, b"new 0", b"new 1", b"new 2", partition=0)
        taken = take(consumer, 3, seconds=40)
        assert values(taken) == [b"new 0", b"new 1", b"new 2"]
        consumer.settle(taken[:1])
        consumer.commit()
    with member(address, topic) as successor:
        # The old log's offset 8 must not have been committed to the new one.
        send(address, topic, *(b"later" for _ in range(10)), partition=0)
        assert values(take(successor, 12)) == [b"new 1", b"new 2", *[b"later"] * 10]


def test_one_that_hears_nothing_of_its_broker_says_so_until_it_does(own_broker: servers.Broker) -> None:
    topic, said = "rowstream.uploads.v1", ["nothing"]
    send(own_broker.address, topic, b"1")
    callbacks = {"on_assigned": lambda: said.append("member"), "on_left": lambda: said.append("left")}
    with member(own_broker.address, topic, **callbacks) as consumer:

        def says(word: str) -> bool:
            consumer.poll(at_most=1, timeout=0.1)
            return said[-1] == word

        take(consumer, 1)
        assert said == ["nothing", "member"]
        own_broker.kill()
        servers.until(lambda: says("left"), seconds=60)
        own_broker.start()
        servers.until(lambda: says("member"), seconds=60)


def test_one_whose_client_fetches_nothing_any_more_ends_its_process(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[None] = []
    monkeypatch.setattr("rowstream.kafka.consumer.end_process", lambda: ended.append(None))
    topic = new_topic(broker, partitions=1)
    with member(broker, topic) as consumer:
        send(broker, topic, b"1")
        take(consumer, 1)
        consumer._consumer.pause(consumer._consumer.assignment())  # as one that a broker without its log left behind
        consumer._watch = Watch(clock=time.monotonic, seconds=0.2)
        for _ in range(5):
            assert consumer.poll(at_most=1, timeout=0.3) == []
        assert not ended  # nothing is there
        send(broker, topic, b"2")
        deadline = time.monotonic() + 20
        while not ended and time.monotonic() < deadline:
            assert consumer.poll(at_most=1, timeout=0.1) == []
        assert ended


def test_leaving_does_not_wait_for_a_broker_that_is_gone(
    own_broker: servers.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowstream.kafka.consumer._LEAVE_SECONDS", 1.0)
    send(own_broker.address, "rowstream.uploads.v1", b"1", b"2")
    consumer = Consumer(quick(own_broker.address), group="g", topics=["rowstream.uploads.v1"])
    taken = take(consumer, 2)
    own_broker.kill()
    consumer.settle(taken)
    consumer.commit()
    started = time.monotonic()
    consumer.close()
    assert time.monotonic() - started < 2
    own_broker.start()  # so that what still waits in this process comes to its end
    for thread in threading.enumerate():
        if thread.name == "leave":
            thread.join(20)
            assert not thread.is_alive()


def test_one_that_leaves_while_it_joins_keeps_nobody_out(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, b"1")
    with member(broker, topic) as first:
        take(first, 1)
    with member(broker, topic) as hasty:
        assert hasty.poll(at_most=1, timeout=0) == []
        time.sleep(0.5)  # it asks to join; what the broker answers is seen by the next poll only
        assert not hasty._is_member
    with member(broker, topic) as last:
        assert values(take(last, 1, seconds=15)) == [b"1"]


def test_the_lag_is_what_was_not_taken_yet(broker: str) -> None:
    topic = new_topic(broker, partitions=1)
    send(broker, topic, *(b"x" for _ in range(10)))
    with member(broker, topic) as consumer:
        assert measured(consumer, topic) == 0  # nothing is known yet
        taken = take(consumer, 1, at_most=4)
        assert measured(consumer, topic) == 10 - len(taken) > 0
        take(consumer, 10 - len(taken))
        assert measured(consumer, topic) == 0


def measured(consumer: Consumer, topic: str) -> float | None:
    consumer.measure_lag()
    return lag(topic)


def lag(topic: str) -> float | None:
    return REGISTRY.get_sample_value("rowstream_consumer_lag", {"topic": topic})


class _Failed:
    """A message that only says what went wrong."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def error(self) -> KafkaError:
        return self._error


def test_trouble_that_passes_is_waited_out_and_what_does_not_is_fatal() -> None:
    passing: Any = _Failed(KafkaError(KafkaError._ALL_BROKERS_DOWN, "all down"))
    assert received_of(passing, 1) is None
    for code in (KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        with pytest.raises(Fatal, match="cannot go on"):
            received_of(_Failed(KafkaError(code, "no")), 1)  # type: ignore[arg-type]


def test_the_newer_group_protocol_shares_and_keeps_what_is_settled(apache_kafka: servers.ApacheKafka) -> None:
    broker = apache_kafka.address
    topic = new_topic(broker, partitions=2)
    for partition in (0, 1):
        send(broker, topic, *(b"%d" % number for number in range(5)), partition=partition)
    newer = quick(broker).model_copy(update={"group_protocol": "consumer"})
    with ExitStack() as stack:
        first = Consumer(newer, group=topic, topics=[topic])
        stack.callback(first.close)
        first.settle(take(first, 10))
        second = Consumer(newer, group=topic, topics=[topic])
        stack.callback(second.close)
        mine: list[Received] = []
        other: list[Received] = []
        deadline = time.monotonic() + 60
        while not len(first._ours) == len(second._ours) == 1:
            assert time.monotonic() < deadline
            mine += first.poll(at_most=10, timeout=0.1)
            other += second.poll(at_most=10, timeout=0.1)
        for partition in (0, 1):
            send(broker, topic, b"new", partition=partition)
        while len(mine) + len(other) < 2:
            assert time.monotonic() < deadline
            mine += first.poll(at_most=10, timeout=0.1)
            other += second.poll(at_most=10, timeout=0.1)
        assert values(mine) == values(other) == [b"new"]


def test_the_newer_group_protocol_leaves_sessions_to_the_broker() -> None:
    newer = consumer_config(KafkaSettings(group_protocol="consumer"), "g")
    assert newer["group.protocol"] == "consumer"
    assert not {"session.timeout.ms", "heartbeat.interval.ms"} & newer.keys()
    older = consumer_config(KafkaSettings(session_timeout_ms=6_000), "g")
    assert (older["session.timeout.ms"], older["heartbeat.interval.ms"]) == (6_000, 1_000)
    assert older["enable.auto.commit"] is older["enable.auto.offset.store"] is False
