"""The trail of acts: what was done, by whom and how. A row is written with the deed and never changed afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from rowstream.database.access_tables import acts
from rowstream.ids import new_id


def write(connection: Connection, organization_id: UUID, action: str, **facts: object) -> None:
    """Write one act, in the transaction that does it; `facts` are the other columns of `acts` by name."""
    row = insert(acts).values(organization_id=organization_id, action=action, **facts)
    connection.execute(row.inline())  # without RETURNING: not every role that writes acts may read them


def write_command(
    connection: Connection,
    organization_id: UUID,
    action: str,
    *,
    by: str,
    target: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Write what an operator did by a command; `by` is their name on the machine on which they gave it."""
    write(
        connection,
        organization_id,
        action,
        target=target,
        actor_kind="system",
        actor_name=f"operator {by}",
        way="command",
        correlation_id=str(new_id()),
        details=dict(details or {}),
    )


def newest(
    connection: Connection, *, upload_id: UUID | None = None, after: int | None = None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The newest acts first, on one upload or on anything, at most `limit`, those below an id.

    The connection acts for one organization, whose acts these are.
    """
    shown = [column for column in acts.c if column.name not in ("organization_id", "batch_upload_id")]
    query = select(*shown, acts.c.batch_upload_id.label("upload_id")).order_by(acts.c.id.desc()).limit(limit)
    if upload_id:
        query = query.where(acts.c.batch_upload_id == upload_id)
    if after is not None:
        query = query.where(acts.c.id < after)
    return [dict(row) for row in connection.execute(query).mappings()]
