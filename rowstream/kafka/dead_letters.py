"""Where messages go that name no upload of ours: they are kept, with the reason, and everything else goes on.

Headers as Kafka Connect names them (KIP-298), since tools read those.
"""

from rowstream.kafka.consumer import Received
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.kafka.topics import DEAD_LETTERS
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import DEAD_LETTERS as COUNTER

log = get_logger(__name__)


def put_aside(
    producer: Producer,
    message: Received,
    *,
    stage: str,
    error: Exception,
    on_delivery: OnDelivery = lambda _: None,
) -> None:
    """Copy the message to the dead-letter topic with where it stood, in which stage it failed, and why.

    `on_delivery` gets None, or why the copy was not taken; settle the message only after the former.
    """
    COUNTER.labels(message.topic).inc()
    log.warning(
        "message put aside",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        reason=str(error),
    )
    headers = {
        **message.headers,
        "__connect.errors.topic": message.topic,
        "__connect.errors.partition": str(message.partition),
        "__connect.errors.offset": str(message.offset),
        "__connect.errors.stage": stage,
        "__connect.errors.exception.class.name": type(error).__name__,
        "__connect.errors.exception.message": str(error),
    }
    producer.send(DEAD_LETTERS, message.value, key=message.key, headers=headers, on_delivery=on_delivery)
