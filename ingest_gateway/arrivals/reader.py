"""Reads a topic on which others hand in, message by message; each is taken in, or put aside with its reason.

An offset is settled only after what the message asks for is done, or the broker has the dead letter (and whatever else
is to be said of it). While the database or the object store is away, the same message waits.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from ingest_gateway.gateway import Gateway
from rowstream.database.connection import is_refusal, retryable_errors
from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.received import Received
from rowstream.messages.codec import UnknownSchema
from rowstream.messages.patience import SCHEMA_SECONDS, SchemaPatience
from rowstream.runtime.logging import get_logger, log_context
from rowstream.storage.store import StoreUnavailable

log = get_logger(__name__)

_AT_MOST = 100
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What is said of a refused message, beside its dead letter."""

    topic: str
    key: bytes | None
    value: bytes
    headers: dict[str, str]


class Reader:
    """One member of a group; `run` it in a thread of its own.

    Args:
        gateway: the adapters.
        consumer: reads the topic; used, and closed at the end, by this reader alone.
        producer: takes dead letters; used by this reader alone.
        take: does what a message asks for, or raises Poison or Retryable.
        stage: names this reader in dead letters.
        say: what else is to be said of a refused message.
        patience: seconds to wait for an object that the store refuses.
        schema_seconds: to wait for schemas that no service has registered (`SchemaPatience`).
        delivery_seconds: after which the delivery of a message was reported, one way or the other.
    """

    def __init__(
        self,
        gateway: Gateway,
        consumer: Consumer,
        producer: Producer,
        take: Callable[[Received], None],
        *,
        stage: str,
        say: Callable[[Received, Exception], Iterable[Saying]] = lambda *_: (),
        patience: float = 120.0,
        schema_seconds: float = SCHEMA_SECONDS,
        delivery_seconds: float = 15.0,
    ) -> None:
        self._gateway, self._consumer, self._producer = gateway, consumer, producer
        self._take, self._stage, self._say = take, stage, say
        self._patience, self._delivery_seconds = patience, delivery_seconds
        self._schema_patience = SchemaPatience(schema_seconds)

    def run(self, stop: threading.Event) -> None:
        """Take in what comes until `stop`, then leave the group."""
        try:
            while not stop.is_set():
                for message in self._consumer.poll(at_most=_AT_MOST, timeout=0.5):
                    if not self._settled(message, stop):
                        break  # stopped while waiting: this message and those behind it come again
                    self._consumer.settle([message])
                self._consumer.commit()
                self._consumer.measure_lag()
        finally:
            self._consumer.close()

    def _settled(self, message: Received, stop: threading.Event) -> bool:
        """Take one message in, or put it aside; False if `stop` came first."""
        begun, pause = time.monotonic(), 0.0
        with log_context(topic=message.topic, partition=message.partition, offset=message.offset):
            while not stop.is_set():
                try:
                    with retryable_errors():
                        self._take(message)
                except Poison as error:
                    done = self._put_aside(message, error)
                except DBAPIError as error:
                    if not is_refusal(error):
                        raise
                    log.warning("the database refuses a message", reason=type(error.orig).__name__)
                    done = self._put_aside(message, Poison("it holds what cannot be stored"))
                except Retryable as error:
                    done = self._hopeless(error, time.monotonic() - begun) and self._put_aside(message, error)
                    log.warning("message waits", reason=str(error))
                else:
                    done = True
                if done:
                    return True
                pause = min(_LONGEST_PAUSE, pause * 2 + 0.2)
                self._wait(pause, stop)
        return False

    def _hopeless(self, error: Retryable, waited: float) -> bool:
        """Whether it is this message that cannot be served, while what it needs is there."""
        if isinstance(error, UnknownSchema):
            return self._schema_patience.is_over()
        if isinstance(error, StoreUnavailable) and waited > self._patience:
            try:
                return self._gateway.store.bucket_exists(self._gateway.settings.storage.bucket)
            except Retryable:
                return False
        return False

    def _wait(self, seconds: float, stop: threading.Event) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop.is_set():
            self._consumer.keep_alive(0.2)

    def _put_aside(self, message: Received, error: Exception) -> bool:
        """Say what is to be said of the message, then copy it to the dead letters; whether the broker has all of it."""

        def say(on_delivery: OnDelivery) -> None:
            for one in self._say(message, error):
                self._producer.send(one.topic, one.value, key=one.key, headers=one.headers, on_delivery=on_delivery)

        def bury(on_delivery: OnDelivery) -> None:
            put_aside(self._producer, message, stage=self._stage, error=error, on_delivery=on_delivery)

        # One after the other, so that a topic that is missing does not fill the other one by each try.
        return self._delivered(say) and self._delivered(bury)

    def _delivered(self, send: Callable[[OnDelivery], None]) -> bool:
        failures: list[str | None] = []
        try:
            send(failures.append)
        except Poison as too_large:
            log.warning("a message is too large for a dead letter and is dropped", reason=str(too_large))
            return True
        except Retryable:
            return False
        return self._producer.flush(self._delivery_seconds) == 0 and not any(failures)
