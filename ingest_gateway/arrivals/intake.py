"""Takes in objects that systems ask for by Kafka (`rowstream.upload-requests.v1`), through the same use case as HTTP.

Every request is answered, on `rowstream.upload-replies.v1`: accepted, duplicate or refused; an event that comes twice
finds its upload and is done. Whom a source hands in for is not for the source to say, but for a setting.
"""

import threading
from uuid import UUID

from ingest_gateway import accept, references
from ingest_gateway.arrivals.bindings import Bindings
from ingest_gateway.arrivals.cloud_events import Asked, BadRequest, read
from ingest_gateway.arrivals.reader import Reader, Saying
from ingest_gateway.arrivals.replies import refusal, say_taken
from ingest_gateway.doer import system
from ingest_gateway.gateway import Gateway
from ingest_gateway.sources import NoSuchOrganization, organization_called
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.messages.codec import SchemaStore
from rowstream.messages.envelope import child_span, correlation_id_of
from rowstream.messages.patience import SCHEMA_SECONDS
from rowstream.messages.upload_request import UploadRequest
from rowstream.records import registry
from rowstream.runtime.logging import get_logger
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo

log = get_logger(__name__)

GROUP = "rowstream-ingest-gateway"
STAGE = "INTAKE"
_OTHER_WAYS = ("s3://", "sftp:")
"""What the sources of other ways in begin with: nobody takes away the names of events that are still to come there."""


class Intake:
    """One member of the group that reads the requests; `run` it in a thread of its own.

    Args:
        gateway: the adapters.
        consumer: reads the topic; used, and closed at the end, by this intake alone.
        producer: takes refusals and dead letters; used by this intake alone.
        schemas: where schemas of Avro requests are looked up.
        bindings: which sources hand in for which organization.
        patience: seconds to wait for an object that the store refuses.
        schema_seconds: to wait for schemas that no service has registered (`SchemaPatience`).
        delivery_seconds: after which the delivery of a message was reported, one way or the other.
    """

    def __init__(
        self,
        gateway: Gateway,
        consumer: Consumer,
        producer: Producer,
        schemas: SchemaStore,
        *,
        bindings: Bindings,
        patience: float = 120.0,
        schema_seconds: float = SCHEMA_SECONDS,
        delivery_seconds: float = 15.0,
    ) -> None:
        self._gateway, self._schemas, self._bindings = gateway, schemas, bindings
        self._reader = Reader(
            gateway,
            consumer,
            producer,
            self.take,
            stage=STAGE,
            say=_refuse,
            patience=patience,
            schema_seconds=schema_seconds,
            delivery_seconds=delivery_seconds,
        )

    def run(self, stop: threading.Event) -> None:
        """Take in what is asked for until `stop`, then leave the group."""
        self._reader.run(stop)

    def take(self, message: Received) -> None:
        """Take in what one message asks for, unless that was done before, and store the answer.

        Raises:
            Poison: it asks for something that cannot be done; says what and why.
            Retryable: something is away.
        """
        asked = read(message, self._schemas)
        origin = self._origin(asked)
        if self._done_before(origin):
            return
        handed, found = self._checked(asked.request, origin.by.organization_id)
        bucket, key = asked.request.bucket, asked.request.key
        with self._gateway.acting_for(origin.by.organization_id) as connection:
            upload_id = accept.take_in(connection, origin, handed, bucket=bucket, key=key, found=found)
            if upload_id:
                say_taken(connection, origin, upload_id, again=False)
        if upload_id is None:
            self._done_before(origin)  # another gateway was quicker
            return
        reached(Step.UPLOAD_ACCEPTED)
        log.info("request taken in", upload_id=str(upload_id))

    def _done_before(self, origin: accept.Origin) -> bool:
        """Whether this event was taken in before; if so, that is answered."""
        with self._gateway.acting_for(origin.by.organization_id) as connection:
            earlier = accept.find(connection, origin.source, origin.event_id)
            if earlier is None:
                return False
            say_taken(connection, origin, earlier.id, again=True)
        log.info("request was taken in before", upload_id=str(earlier.id))
        return True

    def _origin(self, asked: Asked) -> accept.Origin:
        if asked.source in accept.RESERVED_SOURCES or asked.source.startswith(_OTHER_WAYS):
            raise BadRequest(f"the source {asked.source!r} is rowstream's own; name your system, such as //crm/exports")
        by = system(
            self._organization(asked),
            asked.source,
            way="kafka",
            correlation_id=correlation_id_of(asked.correlation_id),
        )
        return accept.Origin(
            by=by, source=asked.source, event_id=asked.event_id, traceparent=child_span(asked.traceparent)
        )

    def _organization(self, asked: Asked) -> UUID:
        """Whom the source hands in for; what it says itself only chooses among those."""
        try:
            its = [organization_called(self._gateway, called) for called in self._bindings.of(asked.source)]
        except NoSuchOrganization as error:
            raise BadRequest(f"{error}; tell the operators of rowstream, whose settings name it") from error
        if asked.organization_id is None and len(set(its)) > 1:
            raise BadRequest(
                f"the source {asked.source!r} hands in for several; say which by the attribute organization"
            )
        chosen = asked.organization_id or (its[0] if its else None)
        if chosen not in its or chosen is None:
            whom = f"organization {asked.organization_id}" if asked.organization_id else "anybody"
            raise BadRequest(
                f"the source {asked.source!r} may not hand in for {whom}; ask the operators of rowstream to let it"
            )
        return chosen

    def _checked(self, request: UploadRequest, organization_id: UUID) -> tuple[accept.Handed, ObjectInfo]:
        """What is handed in and the object itself, if both may be taken."""
        registry.check(request.record_type)
        slice_ = self._gateway.settings.gateway
        references.check_place(request, slice_.allowed_buckets, self._gateway.settings.storage.bucket)
        if self._bindings.serve_several:  # who may hand in for one must not read another's files by naming them
            references.check_prefix(request, self._gateway.settings.sending.reference_prefix, organization_id)
        found = references.find(self._gateway.store, request, max_bytes=slice_.max_upload_bytes)
        return accept.Handed(record_type=request.record_type, filename=references.filename_of(request)), found


def _refuse(message: Received, error: Exception) -> list[Saying]:
    return [refusal(message, error)]
