"""Organizations: made, listed, shown, changed and closed. The gateway sees its caller's, commands all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Connection, Select, func, insert, select, update

from rowstream.database.access_tables import organizations
from rowstream.errors import Poison
from rowstream.ids import new_id

_ONE_NAME = "organizations_name_key"


class NameTaken(Poison):
    """Another organization has the name."""


@dataclass(frozen=True, kw_only=True)
class Organization:
    """An organization, what it has chosen, and its quotas; a quota of None is not set.

    Attributes:
        duplicate_policy: What becomes of a file whose bytes came before: refuse, warn or allow.
        max_upload_bytes: Bytes of one file.
        max_records_a_day: Records accepted in any 24 hours.
        max_open_uploads: Uploads accepted and not ended.
        requests_per_minute: Of all its keys and people together.
        closed_at: From when on nobody acts for it any more.
    """

    id: UUID
    name: str
    created_at: datetime
    duplicate_policy: str
    max_upload_bytes: int | None
    max_records_a_day: int | None
    max_open_uploads: int | None
    requests_per_minute: int | None
    closed_at: datetime | None


def make(connection: Connection, name: str, **chosen: object) -> Organization:
    """A new organization; `chosen` are further columns by name.

    Raises:
        NameTaken: another one has the name.
    """
    organization_id = new_id()
    _change(connection, insert(organizations).values(id=organization_id, name=name, **chosen), name)
    return _existing(connection, organization_id)


def change(connection: Connection, organization_id: UUID, values: Mapping[str, object]) -> Organization | None:
    """The organization with some columns changed, by name; None if there is none.

    Raises:
        NameTaken: another one has the name.
    """
    if values:
        statement = update(organizations).where(organizations.c.id == organization_id).values(**values)
        _change(connection, statement, values.get("name"))
    return find(connection, organization_id)


def close(connection: Connection, organization_id: UUID) -> None:
    """Let nobody act for it any more: its keys and its members' log-ins are refused; one that is closed stays so."""
    closed = func.coalesce(organizations.c.closed_at, func.now())
    connection.execute(update(organizations).where(organizations.c.id == organization_id).values(closed_at=closed))


def find(connection: Connection, organization_id: UUID, *, lock: bool = False) -> Organization | None:
    """One organization by its id, or None; with `lock`, nobody changes it until the commit."""
    query = _organizations().where(organizations.c.id == organization_id)
    return _one(connection, query.with_for_update() if lock else query)


def named(connection: Connection, name_or_id: str) -> Organization | None:
    """One organization by its id, else by its name, or None: nobody is found in another's place by choosing a name."""
    try:
        found = find(connection, UUID(name_or_id))
    except ValueError:
        found = None
    return found or _one(connection, _organizations().where(organizations.c.name == name_or_id))


def every(connection: Connection) -> Sequence[Organization]:
    """All organizations that the connection sees, by name."""
    rows = connection.execute(_organizations().order_by(organizations.c.name)).mappings()
    return [Organization(**row) for row in rows]


def _organizations() -> Select[Any]:
    columns = organizations.c
    return select(*(columns[name] for name in Organization.__dataclass_fields__))


def _one(connection: Connection, query: Select[Any]) -> Organization | None:
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Organization(**row)


def _existing(connection: Connection, organization_id: UUID) -> Organization:
    found = find(connection, organization_id)
    if found is None:
        raise LookupError(f"organization {organization_id} is not there")
    return found


def _change(connection: Connection, statement: sqlalchemy.Insert | sqlalchemy.Update, name: object) -> None:
    try:
        connection.execute(statement)
    except sqlalchemy.exc.IntegrityError as error:
        if _ONE_NAME not in str(error.orig):
            raise
        raise NameTaken(
            f"there is an organization named {name!r} already, perhaps in other letters; choose another name"
        ) from None
