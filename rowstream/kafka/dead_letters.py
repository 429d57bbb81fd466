"""Where messages go that name no upload of ours: they are kept, with the reason, and everything else goes on.

Headers as Kafka Connect names them (KIP-298), since tools read those.
"""

from collections.abc import Iterable

from rowstream.errors import Poison
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import DEAD_LETTERS
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import DEAD_LETTERS as COUNTER

log = get_logger(__name__)

_KEPT_BYTES = 65_536
_KEPT_HEADER_CHARS = 1_000


def put_aside(
    producer: Producer,
    message: Received,
    *,
    stage: str,
    error: Exception,
    on_delivery: OnDelivery = lambda _: None,
) -> None:
    """Copy the message to the dead-letter topic with where it stood, in which stage it failed, and why.

    It is counted and logged once, when the broker has the copy, however often that was tried.
    `on_delivery` gets None, or why the copy was not taken; settle the message only after the former. Of a message that
    is larger than our own limit only the beginning is kept, and a header says how long it was.

    Raises:
        Retryable: the client does not take it now.
    """

    def report(failure: str | None) -> None:
        if failure is None:
            COUNTER.labels(message.topic).inc()
            log.warning(
                "message put aside",
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=str(error),
            )
        on_delivery(failure)

    headers = {
        **message.headers,
        "__connect.errors.topic": message.topic,
        "__connect.errors.partition": str(message.partition),
        "__connect.errors.offset": str(message.offset),
        "__connect.errors.stage": stage,
        "__connect.errors.exception.class.name": type(error).__name__,
        "__connect.errors.exception.message": str(error),
    }
    try:
        producer.send(DEAD_LETTERS, message.value, key=message.key, headers=headers, on_delivery=report)
    except Poison:
        short = _shortened(headers.items()) | {"rowstream.errors.full_bytes": str(len(message.value))}
        kept = message.value[:_KEPT_BYTES]
        producer.send(DEAD_LETTERS, kept, key=None, headers=short, on_delivery=report)


def _shortened(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value[:_KEPT_HEADER_CHARS] for name, value in headers}
