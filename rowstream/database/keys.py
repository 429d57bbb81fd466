"""Organizations and their API keys. A key is 256 random bits, so its plain SHA-256 is enough to store."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, case, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from rowstream.database.access_tables import api_keys, organizations
from rowstream.ids import new_id

DEFAULT_ORGANIZATION = UUID("0198c0de-0000-7000-8000-000000000001")
PREFIX = "rs_"


def key_hash(key: str) -> bytes:
    """What is stored of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def ensure_default_organization(connection: Connection) -> None:
    """Make the organization that everything belongs to until there are more."""
    row = insert_or_ignore(organizations).values(id=DEFAULT_ORGANIZATION, name="default")
    connection.execute(row.on_conflict_do_nothing())


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """What is known of a key, which is not the key itself; `state` is `valid`, `expired` or `revoked`."""

    id: UUID
    name: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def make_key(
    connection: Connection,
    organization_id: UUID,
    name: str,
    *,
    key_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make an API key for an organization; the key itself is returned once and stored nowhere."""
    key = PREFIX + secrets.token_urlsafe(32)
    values = {"id": key_id or new_id(), "organization_id": organization_id, "name": name, "expires_at": expires_at}
    connection.execute(insert(api_keys).values(**values, key_hash=key_hash(key)))
    return key


def stored_keys(connection: Connection, organization_id: UUID) -> Sequence[StoredKey]:
    """All keys of an organization that there ever were, the oldest first."""
    columns = api_keys.c
    state = case((columns.revoked_at.is_not(None), "revoked"), (columns.expires_at <= func.now(), "expired"))
    query = select(
        columns.id,
        columns.name,
        func.coalesce(state, "valid").label("state"),
        columns.created_at,
        columns.expires_at,
        columns.revoked_at,
    )
    rows = connection.execute(query.where(columns.organization_id == organization_id).order_by(columns.created_at))
    return [StoredKey(**row) for row in rows.mappings()]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What a valid key says of its holder; `scopes` is None for a key that may what an operator may."""

    id: UUID
    organization_id: UUID
    name: str
    scopes: tuple[str, ...] | None


def holder_of(connection: Connection, key: str) -> Holder | None:
    """The holder of a valid key; None for a key that is unknown, expired, revoked, or only signs.

    A key of a closed organization is as good as revoked.
    """
    columns = api_keys.c
    query = (
        select(columns.id, columns.organization_id, columns.name, columns.scopes)
        .join_from(api_keys, organizations)
        .where(
            columns.key_hash == key_hash(key),
            columns.revoked_at.is_(None),
            ~columns.signed_only,
            or_(columns.expires_at.is_(None), columns.expires_at > func.now()),
            organizations.c.closed_at.is_(None),
        )
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    scopes = None if row.scopes is None else tuple(row.scopes)
    return Holder(id=row.id, organization_id=row.organization_id, name=row.name, scopes=scopes)


def revoke(connection: Connection, organization_id: UUID, key_id: UUID) -> str | None:
    """Make a key invalid from now on, for ever; one that is revoked already keeps its time.

    Returns:
        The key's name; None if the organization has no such key.
    """
    statement = (
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.organization_id == organization_id)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
        .returning(api_keys.c.name)
    )
    name: str | None = connection.execute(statement).scalar_one_or_none()
    return name
