"""Hears from a topic what object stores tell of their objects (`ingest_gateway.s3_objects`).

The topic is the store's own, and whoever may write to it may tell of any object in the sources file: its broker's rules
(ACLs) say who may.
"""

from ingest_gateway import s3_objects
from ingest_gateway.arrivals.reader import Reader
from ingest_gateway.gateway import Gateway
from ingest_gateway.references import BadReference
from ingest_gateway.s3_objects import Teller
from ingest_gateway.sources import SourcesFile
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.messages.envelope import child_span, correlation_id_of

GROUP = "rowstream-s3-events"
STAGE = "S3_EVENTS"


def reader_of(
    gateway: Gateway,
    sources: SourcesFile,
    consumer: Consumer,
    producer: Producer,
    *,
    patience: float = 120.0,
    delivery_seconds: float = 15.0,
) -> Reader:
    """A reader of the stores' topic; the arguments are those of `Reader`."""

    def take(message: Received) -> None:
        teller = Teller(
            correlation_id=correlation_id_of(message.headers.get("correlation_id")),
            traceparent=child_span(message.headers.get("traceparent", "")),
        )
        told = s3_objects.hear(gateway, sources, message.value, teller)
        if told.reasons:
            raise BadReference("; ".join(told.reasons))

    return Reader(gateway, consumer, producer, take, stage=STAGE, patience=patience, delivery_seconds=delivery_seconds)
