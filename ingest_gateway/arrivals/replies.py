"""What is answered to requests by Kafka, on `rowstream.upload-replies.v1`.

That an upload was accepted, or was before, is stored in the outbox, in the transaction that finds or makes it. A
refusal is sent beside the dead letter, before the request is settled. Either way a request has an answer.
"""

from uuid import UUID

from sqlalchemy import Connection

from ingest_gateway.accept import Origin
from ingest_gateway.arrivals.cloud_events import named
from ingest_gateway.arrivals.reader import Saying
from rowstream.database import outbox
from rowstream.kafka.received import Received
from rowstream.kafka.topics import UPLOAD_REPLIES
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope, correlation_id_of
from rowstream.messages.upload_reply import UploadReply

ACCEPTED, DUPLICATE, REFUSED = "accepted", "duplicate", "refused"
NOBODY = UUID(int=0)
"""In the header `ce_organization` of a refusal: whose request it was is not known for sure."""
_TYPE, _SERVICE = "upload_reply", "ingest_gateway"
_LONGEST_REASON = 2_000


def say_taken(connection: Connection, origin: Origin, upload_id: UUID, *, again: bool) -> None:
    """Store the answer to a request that was accepted now, or (`again`) before, in the caller's transaction."""
    reply = UploadReply(
        request_source=origin.source,
        request_id=origin.event_id,
        outcome=DUPLICATE if again else ACCEPTED,
        upload_id=upload_id,
        reason=None,
    )
    envelope = Envelope.new(
        _TYPE,
        source=_SERVICE,
        organization_id=origin.by.organization_id,
        correlation_id=origin.by.correlation_id,
        traceparent=origin.traceparent,
        id_="" if again else f"{upload_id}.reply",
    )
    outbox.put(connection, topic=UPLOAD_REPLIES, key=origin.event_id, message=reply, envelope=envelope)


def refusal(message: Received, error: Exception) -> Saying:
    """The answer to a request that is refused."""
    name = named(message)
    reply = UploadReply(
        request_source=name.source,
        request_id=name.event_id,
        outcome=REFUSED,
        upload_id=None,
        reason=str(error)[:_LONGEST_REASON],
    )
    envelope = Envelope.new(
        _TYPE,
        source=_SERVICE,
        organization_id=NOBODY,
        correlation_id=correlation_id_of(name.correlation_id),
        traceparent=name.traceparent,
    )
    key = name.event_id.encode() if name.event_id else None  # nothing of the request's own, which may be of any size
    return Saying(topic=UPLOAD_REPLIES, key=key, value=codec.encode(reply), headers=envelope.headers())
