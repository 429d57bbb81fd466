"""The outbox: messages that are stored in the transaction that makes them true.

Any service inserts; only the gateway's relays publish. A row is announced by NOTIFY when its transaction commits, so
an idle relay wakes at once. Order is not promised: what is read from the topics must not need it.
"""

from sqlalchemy import Connection, func, insert

from rowstream.database import tables
from rowstream.ids import new_id
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope

CHANNEL = "rowstream_outbox"


def put(connection: Connection, *, topic: str, key: str, message: codec.Message, envelope: Envelope) -> None:
    """Store one message for the relay, in the caller's transaction."""
    row = insert(tables.outbox).values(
        id=new_id(),
        organization_id=envelope.organization_id,
        topic=topic,
        message_key=key.encode(),
        payload=codec.encode(message),
        headers=envelope.headers(),
    )
    connection.execute(row.returning(func.pg_notify(CHANNEL, "")))  # one round trip for both
