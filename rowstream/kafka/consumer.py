"""A member of a consumer group that acknowledges only what its caller has settled.

Obligations: `poll` never commits; `settle` notes that everything up to these messages is done (they must have been
polled in order, and none before them may be left open); `commit` tells the broker. What is settled is committed again
before partitions go to another member and on `close`, so a rebalance repeats as little as possible. During long work,
call `keep_alive` at least every few seconds: it fetches nothing but keeps the membership.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from rowstream.kafka.absence import Absence
from rowstream.kafka.clock import end_process, watch_clock
from rowstream.kafka.connection import connection_config
from rowstream.kafka.received import Received, place_of, received_of
from rowstream.kafka.watch import Place, View, Watch
from rowstream.runtime.logging import client_logger, get_logger
from rowstream.runtime.metrics import CONSUMER_LAG, DEAD_LETTERS, MESSAGES_CONSUMED
from rowstream.runtime.settings import KafkaSettings

log = get_logger(__name__)

_GATHER_SECONDS = 0.05
_FETCH_KBYTES = 32_768
_LEAVE_SECONDS = 8.0
_JOIN_SECONDS = 18.0
_ASK_SECONDS = 2.0
NO_PART = "it has no partitions: the broker is away, or they are being handed out anew"
"""What a service may say of itself when `on_left` is called."""
LEFT_BEHIND = "the client does not fetch what is there; ending, to be started again with a new one"
"""What a consumer logs before it ends its process."""


class Consumer:
    """One member of the group `group`, reading `topics` from where the group left off, or from the beginning."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        topics: Sequence[str],
        on_assigned: Callable[[], None] = lambda: None,
        on_revoked: Callable[[], None] = lambda: None,
        on_left: Callable[[], object] = lambda: None,
    ) -> None:
        """Calls back when partitions come and go.

        `on_assigned` is called when the group has given this member its part, `on_revoked` when some of it is taken,
        and `on_left` when all is, be it that the broker has not answered for a session's length.
        """
        self._ours: set[Place] = set()
        self._assignment = 0
        self._is_member = False  # between a revocation and the next assignment it is not, either
        self._settled: dict[Place, int] = {}
        self._early: list[Received] = []  # came while nothing was wanted
        self._on_assigned, self._on_revoked, self._on_left = on_assigned, on_revoked, on_left
        self._paused = False
        self._topics = tuple(topics)
        watch_clock()
        self._consumer = confluent_kafka.Consumer(consumer_config(settings, group))
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        self._watch = Watch(clock=time.monotonic)
        self._absence = Absence(time.monotonic(), session=settings.session_timeout_ms / 1_000)
        for topic in topics:
            DEAD_LETTERS.labels(topic)  # shows as 0 from the start, so that its first step is seen

    def poll(self, *, at_most: int, timeout: float) -> list[Received]:
        """Up to `at_most` messages; waits up to `timeout` seconds for the first.

        Raises:
            Fatal: the client cannot go on (wrong credentials, a fenced member).
        """
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        if self._early:
            received, self._early = self._early[:at_most], self._early[at_most:]
        else:
            received = self._fetched(1, timeout)
        if received and at_most > len(received):
            # Asking for many at once would wait for them all; these are what has arrived already.
            received += self._fetched(at_most - len(received), 0)
            if 1 < len(received) < at_most:  # more are on their way, and a fuller batch costs less
                received += self._fetched(at_most - len(received), _GATHER_SECONDS)
        if self._watch.wants_a_look(received=bool(received)) and self._watch.is_stuck(self._view()):
            log.critical(LEFT_BEHIND)
            end_process()
        received = [message for message in received if place_of(message) in self._ours]
        for message in received:
            MESSAGES_CONSUMED.labels(message.topic).inc()
        return received

    def settle(self, messages: Iterable[Received]) -> None:
        """These, and all before them in their partitions, are done.

        What was received under an earlier assignment is not acknowledged any more: it may be another member's by now,
        or its offset mean another message, where the broker lost its log.
        """
        reached: dict[Place, int] = {}
        for message in messages:
            if place_of(message) in self._ours and message.assignment == self._assignment:
                reached[place_of(message)] = max(reached.get(place_of(message), 0), message.offset + 1)
        self._settled.update(reached)

    def commit(self, *, wait: bool = False) -> None:
        """Tell the broker what is settled; a commit that fails is made up for by the next."""
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._settled.items()]
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
                self._settled.clear()
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("offsets not committed", reason=error.args[0].str())

    def keep_alive(self, timeout: float = 0.0) -> None:
        """Stay a member while nothing is wanted: pauses fetching until the next `poll`."""
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        # A rebalance may hand over partitions that are not paused yet, and a message of theirs with them.
        self._early += self._fetched(1, timeout)

    def measure_lag(self) -> None:
        """Set the lag gauges from what the client knows; asks the broker nothing."""
        lag = dict.fromkeys(self._topics, 0)
        for part in self._consumer.assignment():
            _, high = self._consumer.get_watermark_offsets(part, cached=True)
            position = self._consumer.position([part])[0].offset
            if high >= 0 and position >= 0:
                lag[part.topic] = lag.get(part.topic, 0) + high - position
        for topic, messages in lag.items():
            CONSUMER_LAG.labels(topic).set(messages)

    def close(self) -> None:
        """Commit what is settled and leave the group, so that its other members take over at once.

        A broker that does not answer is not waited for longer than some seconds: the group notices by itself, and what
        could not be committed is done again by whoever comes next.
        """
        self._wait_to_be_a_member()
        leaving = threading.Thread(target=self._leave, name="leave", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_SECONDS)
        if leaving.is_alive():
            log.warning("left without the broker's word: it does not answer")

    def _leave(self) -> None:
        self.commit(wait=True)
        self._consumer.close()

    def _wait_to_be_a_member(self) -> None:
        """The embedded broker lets nobody into a group again that a member left while it was joining."""
        now = time.monotonic()
        deadline = now + _JOIN_SECONDS
        while not (self._is_member and self._absence.is_over(now)) and now < deadline and self._broker_answers():
            self._fetched(1, _GATHER_SECONDS)
            now = time.monotonic()

    def _broker_answers(self) -> bool:
        try:
            self._consumer.list_topics(self._topics[0], _ASK_SECONDS)
        except KafkaException:
            return False
        return True

    def _view(self) -> View:
        """Of each partition: where this member stands and where the log ends, as of now."""
        view: dict[Place, tuple[int, int]] = {}
        for part in self._consumer.assignment():
            try:
                _, end = self._consumer.get_watermark_offsets(part, _ASK_SECONDS)
                committed = self._consumer.committed([part], _ASK_SECONDS)[0].offset
            except KafkaException:
                continue
            position = self._consumer.position([part])[0].offset
            view[part.topic, part.partition] = (position if position >= 0 else max(committed, 0), end)
        return view

    def _fetched(self, at_most: int, timeout: float) -> list[Received]:
        messages = self._consumer.consume(at_most, timeout)
        self._absence.looked(time.monotonic(), waited=timeout)
        return [received for message in messages if (received := received_of(message, self._assignment))]

    def _assigned(self, _: object, parts: list[TopicPartition]) -> None:
        log.info("partitions assigned", partitions=[f"{part.topic}/{part.partition}" for part in parts])
        self._ours.update((part.topic, part.partition) for part in parts)
        self._assignment += 1
        self._is_member = True
        self._paused = False
        self._on_assigned()

    def _revoked(self, _: object, parts: list[TopicPartition]) -> None:
        self.commit(wait=True)
        self._forget(parts)

    def _lost(self, _: object, parts: list[TopicPartition]) -> None:
        self._forget(parts)

    def _forget(self, parts: list[TopicPartition]) -> None:
        gone = {(part.topic, part.partition) for part in parts}
        self._ours -= gone
        self._is_member = bool(self._ours)
        self._settled = {place: offset for place, offset in self._settled.items() if place not in gone}
        self._early = [message for message in self._early if place_of(message) not in gone]
        self._on_revoked()
        if not self._is_member:
            self._on_left()


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, object]:
    """The client's configuration: nothing is acknowledged by itself, and a group forms in seconds."""
    config: dict[str, object] = {
        **connection_config(settings),
        "logger": client_logger("rdkafka"),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "check.crcs": True,
        "fetch.wait.max.ms": settings.fetch_wait_ms,
        "fetch.message.max.bytes": settings.max_message_bytes,
        "queued.max.messages.kbytes": _FETCH_KBYTES,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 10_000,
        "reconnect.backoff.max.ms": 1_000,
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        config["session.timeout.ms"] = settings.session_timeout_ms
        config["heartbeat.interval.ms"] = settings.session_timeout_ms // 6
    return config
