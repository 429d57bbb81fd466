"""A producer that reports each delivery, and is made anew after a failure.

An idempotent producer cannot outlive a broker that lost its state: its sequence numbers mean nothing there. Since every
reader of ours tolerates a message twice, a failed delivery makes a new producer for whatever is sent next.
"""

import time
from collections.abc import Callable, Mapping

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from rowstream.errors import Poison, Retryable
from rowstream.kafka.clock import watch_clock
from rowstream.kafka.connection import connection_config
from rowstream.runtime.logging import client_logger, get_logger
from rowstream.runtime.metrics import MESSAGES_PRODUCED, PRODUCE_FAILURES
from rowstream.runtime.settings import KafkaSettings

log = get_logger(__name__)

OnDelivery = Callable[[str | None], None]
_BUFFER_KBYTES = 16_384
_REPORT_SECONDS = 1.0


class Producer:
    """Sends messages; not for use by several threads at once."""

    def __init__(self, settings: KafkaSettings, *, linger_ms: int = 5) -> None:
        self._config = {
            **connection_config(settings),
            "logger": client_logger("rdkafka"),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": linger_ms,
            "compression.type": "none",
            "batch.size": 1_000_000,
            "message.max.bytes": settings.max_message_bytes,
            "delivery.timeout.ms": settings.delivery_timeout_ms,
            "queue.buffering.max.kbytes": _BUFFER_KBYTES,
            "reconnect.backoff.max.ms": 1_000,
        }
        watch_clock()
        self._producer = confluent_kafka.Producer(self._config)
        self._failed = False

    def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        partition: int = -1,
        on_delivery: OnDelivery = lambda _: None,
    ) -> None:
        """Queue one message; waits while the buffer is full. `on_delivery` gets None, or why it failed.

        `on_delivery` is called inside `send`, `poll` or `flush`. A key decides the partition unless one is given.

        Raises:
            Poison: the message is larger than the limit.
            Retryable: the client does not take it.
        """
        if self._failed:
            self._make_anew()
        name = topic

        def report(error: KafkaError | None, _: object) -> None:
            self._failed = self._failed or error is not None
            (PRODUCE_FAILURES if error else MESSAGES_PRODUCED).labels(name).inc()
            on_delivery(error.str() if error else None)

        pairs: dict[str, str | bytes | None] = dict(headers or {})
        while True:
            try:
                self._producer.produce(topic, value, key=key, headers=pairs, partition=partition, on_delivery=report)
            except BufferError:
                self._serve(0.05)
                if self._failed:
                    self._make_anew()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise Poison(f"a message of {len(value)} bytes is larger than the limit") from error
                self._failed = True
                raise Retryable(f"the message was not taken: {error.args[0].str()}") from error
            else:
                break
        self._serve(0)

    def poll(self, timeout: float = 0.0) -> None:
        """Let delivery reports come in, for up to `timeout` seconds."""
        self._serve(timeout)

    def flush(self, timeout: float) -> int:
        """Wait up to `timeout` seconds for all reports; returns how many are still open."""
        deadline = time.monotonic() + timeout
        while len(self._producer) and (left := deadline - time.monotonic()) > 0:
            self._serve(min(left, 0.1))
        return len(self._producer)

    def partitions_of(self, topic: str, timeout: float = 5.0) -> int:
        """How many partitions the topic has.

        Raises:
            Retryable: the broker does not answer, or has no such topic (yet).
        """
        try:
            # All topics are asked for: to ask for one by name would make it, where brokers are so configured.
            found = self._producer.list_topics(timeout=timeout).topics.get(topic)
        except KafkaException as error:
            raise Retryable(f"the broker does not answer: {error.args[0].str()}") from error
        if found is None or not found.partitions:
            raise Retryable(f"the broker has no topic {topic}; `rowstream topics --make` makes it")
        return len(found.partitions)

    def _serve(self, timeout: float) -> None:
        """Let reports come in; what is fatal for the client is raised here, and only means that it is made anew."""
        try:
            self._producer.poll(timeout)
        except Exception as error:  # noqa: BLE001 - the client declares no common type
            # A KafkaException from `poll`, a bare KafkaError from other calls: whatever it is, a new client has it not.
            self._failed = True
            log.warning("the producer has failed", reason=str(error))

    def _make_anew(self) -> None:
        """A new client; what the old one has not delivered yet is reported as failed, so that nothing is left open."""
        log.warning("making the producer anew after a failed delivery")
        self._producer.purge()
        self.flush(_REPORT_SECONDS)
        self._producer = confluent_kafka.Producer(self._config)
        self._failed = False
