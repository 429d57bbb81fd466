"""Takes in objects that systems ask for by Kafka (`rowstream.upload-requests.v1`), through the same use case as HTTP.

An offset is settled only after the database has committed the upload, or the broker has the dead letter; an event that
comes twice finds its upload and is done. While the database or the object store is away, the same message waits.
"""

import threading
import time
from uuid import UUID

from sqlalchemy import select

from ingest_gateway import accept, references
from ingest_gateway.arrivals.cloud_events import Asked, BadRequest, read
from ingest_gateway.doer import system
from ingest_gateway.gateway import Gateway
from rowstream.database.access_tables import organizations
from rowstream.database.connection import retryable_errors
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.errors import Poison, Retryable
from rowstream.kafka.consumer import Consumer, Received
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.producer import Producer
from rowstream.messages.codec import SchemaStore, UnknownSchema
from rowstream.messages.envelope import child_span, correlation_id_of
from rowstream.messages.upload_request import UploadRequest
from rowstream.records import registry
from rowstream.runtime.logging import get_logger, log_context
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo, StoreUnavailable

log = get_logger(__name__)

GROUP = "rowstream-ingest-gateway"
STAGE = "INTAKE"
_AT_MOST = 100
_LONGEST_PAUSE = 5.0


class Intake:
    """One member of the group that reads the requests; `run` it in a thread of its own.

    Args:
        gateway: the adapters.
        consumer: reads the topic; used, and closed at the end, by this intake alone.
        producer: takes dead letters; used by this intake alone.
        schemas: where schemas of Avro requests are looked up.
        patience: seconds to wait for a schema that no service has registered, or an object that the store refuses.
        delivery_seconds: after which the delivery of a dead letter was reported, one way or the other.
    """

    def __init__(
        self,
        gateway: Gateway,
        consumer: Consumer,
        producer: Producer,
        schemas: SchemaStore,
        *,
        patience: float = 120.0,
        delivery_seconds: float = 15.0,
    ) -> None:
        self._gateway, self._consumer, self._producer, self._schemas = gateway, consumer, producer, schemas
        self._patience, self._delivery_seconds = patience, delivery_seconds

    def run(self, stop: threading.Event) -> None:
        """Take in what is asked for until `stop`, then leave the group."""
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

    def take(self, message: Received) -> UUID | None:
        """Take in what one message asks for; None if it was taken in before.

        Raises:
            Poison: it asks for something that cannot be done; says what and why.
            Retryable: something is away.
        """
        asked = read(message, self._schemas)
        origin = self._origin(asked)
        with self._gateway.acting_for(origin.by.organization_id) as connection:
            if accept.find(connection, origin.source, origin.event_id):
                return None
        handed, found = self._checked(asked.request)
        with self._gateway.acting_for(origin.by.organization_id) as connection:
            bucket, key = asked.request.bucket, asked.request.key
            upload_id = accept.take_in(connection, origin, handed, bucket=bucket, key=key, found=found)
        if upload_id:
            reached(Step.UPLOAD_ACCEPTED)
        return upload_id

    def _settled(self, message: Received, stop: threading.Event) -> bool:
        """Take one message in, or put it aside; False if `stop` came first."""
        begun, pause = time.monotonic(), 0.0
        with log_context(topic=message.topic, partition=message.partition, offset=message.offset):
            while not stop.is_set():
                try:
                    with retryable_errors():
                        upload_id = self.take(message)
                except Poison as error:
                    done = self._put_aside(message, error)
                except Retryable as error:
                    hopeless = time.monotonic() - begun > self._patience and self._hopeless(error)
                    done = hopeless and self._put_aside(message, error)
                    log.warning("request waits", reason=str(error))
                else:
                    log.info("request taken in", upload_id=str(upload_id), again=upload_id is None)
                    done = True
                if done:
                    return True
                pause = min(_LONGEST_PAUSE, pause * 2 + 0.2)
                self._wait(pause, stop)
        return False

    def _hopeless(self, error: Retryable) -> bool:
        """Whether it is this message that cannot be served, while what it needs is there."""
        if isinstance(error, StoreUnavailable):
            try:
                return self._gateway.store.bucket_exists(self._gateway.settings.storage.bucket)
            except Retryable:
                return False
        return isinstance(error, UnknownSchema)

    def _wait(self, seconds: float, stop: threading.Event) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop.is_set():
            self._consumer.keep_alive(0.2)

    def _put_aside(self, message: Received, error: Exception) -> bool:
        """Copy the message to the dead letters; whether the broker has it."""
        failures: list[str | None] = []
        try:
            put_aside(self._producer, message, stage=STAGE, error=error, on_delivery=failures.append)
        except Poison as too_large:
            log.warning("a request is too large for a dead letter and is dropped", reason=str(too_large))
            return True
        except Retryable:
            return False
        self._producer.flush(self._delivery_seconds)
        return failures == [None]

    def _origin(self, asked: Asked) -> accept.Origin:
        if asked.source in accept.RESERVED_SOURCES:
            raise BadRequest(f"the source {asked.source!r} is rowstream's own; name your system, such as //crm/exports")
        organization_id = asked.organization_id or DEFAULT_ORGANIZATION
        with retryable_errors(), self._gateway.keys.connect() as connection:
            known = connection.execute(select(organizations.c.id).where(organizations.c.id == organization_id)).first()
        if known is None:
            raise BadRequest(f"there is no organization {organization_id}")
        by = system(organization_id, asked.source, way="kafka", correlation_id=correlation_id_of(asked.correlation_id))
        return accept.Origin(
            by=by, source=asked.source, event_id=asked.event_id, traceparent=child_span(asked.traceparent)
        )

    def _checked(self, request: UploadRequest) -> tuple[accept.Handed, ObjectInfo]:
        """What is handed in and the object itself, if both may be taken."""
        registry.find(request.record_type)
        slice_ = self._gateway.settings.gateway
        references.check_place(request, slice_.allowed_buckets, self._gateway.settings.storage.bucket)
        found = references.find(self._gateway.store, request, max_bytes=slice_.max_upload_bytes)
        return accept.Handed(record_type=request.record_type, filename=references.filename_of(request)), found
