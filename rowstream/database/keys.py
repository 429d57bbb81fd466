"""Organizations' API keys: made, listed, rotated, revoked. What a request shows is judged by `holder_of`.

A key is 256 random bits, so its plain SHA-256 is enough to store. One that only signs is never sent: its secret comes
from the system's own secrets (`rowstream.runtime.secrets`), and of it too only the SHA-256 is stored.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from rowstream.database.access_tables import SCOPES, api_keys, organizations
from rowstream.errors import Poison
from rowstream.ids import new_id

DEFAULT_ORGANIZATION = UUID("0198c0de-0000-7000-8000-000000000001")
PREFIX = "rs_"
OVERLAP_SECONDS = 86_400
"""How long a key goes on beside the one that it was rotated to, unless said otherwise."""


class UnknownScope(Poison):
    """A scope that there is none of; the message names those that there are."""


class NotRotatable(Poison):
    """The key has ended, or was rotated before; the message says which, and the way out."""


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """What is known of a key, which is not the key itself; `state` is `valid`, `expired` or `revoked`.

    Attributes:
        scopes: What it may do; None for a key that may what an operator may.
        signed_only: Whether it is never sent, and requests are signed with it.
        replaced_by: The key that it was rotated to.
        last_used_at: When it was last used, to the minute; None if it never was.
        last_used_from: From which address.
    """

    id: UUID
    name: str
    state: str
    scopes: tuple[str, ...] | None
    signed_only: bool
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: UUID | None
    last_used_at: datetime | None
    last_used_from: str | None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What a valid key says of its holder; `scopes` is None for a key that may what an operator may.

    `expires_at` is its end, None if it has none.
    """

    id: UUID
    organization_id: UUID
    name: str
    scopes: tuple[str, ...] | None
    expires_at: datetime | None


def key_hash(key: str) -> bytes:
    """What is stored of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def ensure_default_organization(connection: Connection) -> None:
    """Make the organization that everything belongs to until there are more."""
    row = insert_or_ignore(organizations).values(id=DEFAULT_ORGANIZATION, name="default")
    connection.execute(row.on_conflict_do_nothing())


def known_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes, each once and in the order in which they are documented.

    Raises:
        UnknownScope: one of them is none.
    """
    wanted = set(scopes)
    if unknown := sorted(wanted - set(SCOPES)):
        raise UnknownScope(f"there is no scope {', '.join(map(repr, unknown))}; there are {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in wanted]


def make_key(
    connection: Connection,
    organization_id: UUID,
    name: str,
    *,
    key_id: UUID | None = None,
    expires_at: datetime | None = None,
    scopes: Iterable[str] | None = None,
    created_by: str | None = None,
    signing_secret: str | None = None,
) -> str:
    """Make an API key for an organization; the key itself is returned once and stored nowhere.

    Args:
        connection: may write keys of the organization.
        organization_id: whose.
        name: who will use it.
        key_id: its id; without it, a new one.
        expires_at: its end; without it, it goes on until it is revoked.
        scopes: what it may do; None: what an operator may.
        created_by: who made it.
        signing_secret: for a key that only signs: the secret derived from `key_id`, returned as the key.

    Raises:
        UnknownScope: a scope is none.
    """
    key = signing_secret or PREFIX + secrets.token_urlsafe(32)
    row = insert(api_keys).values(
        id=key_id or new_id(),
        organization_id=organization_id,
        name=name,
        key_hash=key_hash(key),
        expires_at=expires_at,
        scopes=None if scopes is None else known_scopes(scopes),
        signed_only=signing_secret is not None,
        created_by=created_by,
    )
    connection.execute(row)
    return key


def stored_keys(connection: Connection, organization_id: UUID) -> Sequence[StoredKey]:
    """All keys of an organization that there ever were, the oldest first."""
    query = _keys().where(api_keys.c.organization_id == organization_id).order_by(api_keys.c.created_at)
    return [_stored(row) for row in connection.execute(query).mappings()]


def newest_keys(
    connection: Connection, organization_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int
) -> Sequence[StoredKey]:
    """The organization's keys, the newest first, at most `limit`, those after a place in that order."""
    columns = api_keys.c
    query = _keys().where(columns.organization_id == organization_id)
    if after:
        query = query.where(tuple_(columns.created_at, columns.id) < tuple_(*after))
    query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
    return [_stored(row) for row in connection.execute(query).mappings()]


def stored_key(connection: Connection, organization_id: UUID, key_id: UUID, *, lock: bool = False) -> StoredKey | None:
    """One key, or None if the organization has no such key; with `lock`, nobody changes it until the commit."""
    query = _keys().where(api_keys.c.organization_id == organization_id, api_keys.c.id == key_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else _stored(row)


def replace(
    connection: Connection,
    organization_id: UUID,
    old: StoredKey,
    *,
    key_id: UUID,
    overlap_seconds: int = OVERLAP_SECONDS,
    created_by: str | None = None,
    signing_secret: str | None = None,
) -> str:
    """Make a key of the same name, scopes and lifetime, and let the old one, which is locked, end after the overlap.

    Returns:
        The new key, as `make_key` does.

    Raises:
        NotRotatable: the old one has ended, or was rotated before.
    """
    if old.state != "valid":
        raise NotRotatable(f"key {old.id} is {old.state}; make a new one")
    if old.replaced_by:
        raise NotRotatable(f"key {old.id} was rotated to {old.replaced_by} before; rotate that one")
    key = make_key(
        connection,
        organization_id,
        old.name,
        key_id=key_id,
        scopes=old.scopes,
        created_by=created_by,
        signing_secret=signing_secret,
    )
    columns, end = api_keys.c, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, overlap_seconds)
    lifetime = old.expires_at - old.created_at if old.expires_at else None
    if lifetime is not None:
        connection.execute(update(api_keys).where(columns.id == key_id).values(expires_at=func.now() + lifetime))
    # least() ignores null: a key without an end gets one, one with an earlier end keeps it.
    change = update(api_keys).where(columns.id == old.id)
    connection.execute(change.values(replaced_by=key_id, expires_at=func.least(columns.expires_at, end)))
    return key


def holder_of(connection: Connection, key: str) -> Holder | None:
    """The holder of a valid key; None for a key that is unknown, expired, revoked, or only signs."""
    row = connection.execute(valid(api_keys.c.key_hash == key_hash(key), ~api_keys.c.signed_only)).one_or_none()
    return None if row is None else holder_in(row)


def valid(*which: ColumnElement[bool]) -> Select[Any]:
    """Of these keys, what a `Holder` is, if they are neither expired nor revoked.

    A key of a closed organization is as good as revoked.
    """
    columns = api_keys.c
    return (
        select(columns.id, columns.organization_id, columns.name, columns.scopes, columns.expires_at)
        .join_from(api_keys, organizations)
        .where(
            *which,
            columns.revoked_at.is_(None),
            or_(columns.expires_at.is_(None), columns.expires_at > func.now()),
            organizations.c.closed_at.is_(None),
        )
    )


def holder_in(row: Row[Any]) -> Holder:
    """The holder in a row of `valid`."""
    scopes = None if row.scopes is None else tuple(row.scopes)
    return Holder(
        id=row.id, organization_id=row.organization_id, name=row.name, scopes=scopes, expires_at=row.expires_at
    )


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


def _keys() -> Select[Any]:
    columns = api_keys.c
    state = case((columns.revoked_at.is_not(None), "revoked"), (columns.expires_at <= func.now(), "expired"))
    return select(
        columns.id,
        columns.name,
        func.coalesce(state, "valid").label("state"),
        columns.scopes,
        columns.signed_only,
        columns.created_at,
        columns.created_by,
        columns.expires_at,
        columns.revoked_at,
        columns.replaced_by,
        columns.last_used_at,
        columns.last_used_from,
    )


def _stored(row: Any) -> StoredKey:
    scopes = None if row["scopes"] is None else tuple(row["scopes"])
    return StoredKey(**{**row, "scopes": scopes})
