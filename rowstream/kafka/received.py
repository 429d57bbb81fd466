"""A message as services get it, from what the Kafka client hands over."""

from dataclasses import dataclass
from typing import cast

import confluent_kafka
from confluent_kafka import KafkaError

from rowstream.errors import Fatal
from rowstream.kafka.watch import Place
from rowstream.messages.envelope import headers_as_text
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """One message and where it stood.

    `assignment` counts the times that the consumer was given its part: where a log was lost in between, the same offset
    names another message.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, str]
    assignment: int = 0


def place_of(message: Received) -> Place:
    """The topic and partition that it stood in."""
    return message.topic, message.partition


def received_of(message: confluent_kafka.Message, assignment: int) -> Received | None:
    """What the client handed over under this assignment; None for trouble, of which a line is logged.

    Raises:
        Fatal: the client cannot go on.
    """
    error = message.error()
    if error is None:
        topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
        headers = headers_as_text(cast("list[tuple[str, bytes | None]]", message.headers() or []))
        return Received(topic, partition, offset, message.key(), message.value() or b"", headers, assignment)
    if error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED):  # noqa: SLF001 - so named in the client's public API
        raise Fatal(f"the Kafka client cannot go on: {error.str()}")
    log.warning("broker trouble", reason=error.str())
    return None
