"""The trail of acts: what a person, a key or rowstream itself did, written in the transaction that does it.

Nobody can change it afterwards: the gateway's role may only add and read, and the table itself refuses the rest.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from ingest_gateway.doer import Doer
from rowstream.database import acts


def note(
    connection: Connection,
    doer: Doer,
    action: str,
    *,
    upload_id: UUID | None = None,
    target: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Write one act into the trail, in the transaction that does it.

    Args:
        connection: acts for the doer's organization.
        doer: who, and how they came.
        action: what, as thing.done: `upload.cancelled`, `key.made`.
        upload_id: to which upload.
        target: to what else, by its id.
        details: what else there is to say; never a secret, never a cell of a record.
    """
    acts.write(
        connection,
        doer.organization_id,
        action,
        batch_upload_id=upload_id,
        target=target,
        actor_kind=doer.actor.kind,
        actor_id=doer.actor.id,
        actor_name=doer.actor.name,
        way=doer.way,
        address=doer.address,
        correlation_id=doer.correlation_id,
        details=dict(details or {}),
    )
