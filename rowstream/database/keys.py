"""Organizations and their API keys. A key is 256 random bits, so its plain SHA-256 is enough to store."""

import hashlib
import secrets
from uuid import UUID

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from rowstream.database.tables import api_keys, organizations
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


def make_key(connection: Connection, organization_id: UUID, name: str) -> str:
    """Make an API key for an organization; the key itself is returned once and stored nowhere."""
    key = PREFIX + secrets.token_urlsafe(32)
    row = insert(api_keys).values(id=new_id(), organization_id=organization_id, name=name, key_hash=key_hash(key))
    connection.execute(row)
    return key


def holder_of(connection: Connection, key: str) -> tuple[UUID, str] | None:
    """The organization and the name of a valid key; None for a key that is unknown, expired or revoked."""
    query = select(api_keys.c.organization_id, api_keys.c.name).where(
        api_keys.c.key_hash == key_hash(key),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now()),
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.organization_id, row.name)


def revoke(connection: Connection, key: str) -> None:
    """Make a key invalid from now on."""
    connection.execute(update(api_keys).where(api_keys.c.key_hash == key_hash(key)).values(revoked_at=func.now()))
