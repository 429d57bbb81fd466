"""People, and what they are in which organization. They are of no organization themselves: one log-in, many of them.

Everything here runs as the role that finds out who asks (`rowstream_keys`), or as the owner of the tables; that role
only reads memberships and notes that one was accepted, so giving one is for the gateway, acting for the organization,
or for an operator.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from rowstream.database.access_tables import memberships, organizations, users


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may log in; the hash of the password is never shown."""

    id: UUID
    email: str
    name: str
    password_hash: str | None
    oidc_issuer: str | None
    oidc_subject: str | None
    created_at: datetime
    disabled_at: datetime | None

    def __repr__(self) -> str:
        return f"User({self.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a person is in one organization that is not closed; `accepted` once they have logged in to it."""

    organization_id: UUID
    organization: str
    role: str
    accepted: bool


_COLUMNS = (
    users.c.id,
    users.c.email,
    users.c.name,
    users.c.password_hash,
    users.c.oidc_issuer,
    users.c.oidc_subject,
    users.c.created_at,
    users.c.disabled_at,
)


def canonical_email(email: str) -> str:
    """An e-mail address as it is stored and compared: composed (NFC), in small letters, without white space around."""
    return unicodedata.normalize("NFC", email.strip()).lower()


def make_user(
    connection: Connection, email: str, name: str, password_hash: str | None = None, *, user_id: UUID | None = None
) -> UUID | None:
    """Make a user, who is in no organization yet; None if there is one with this e-mail address.

    Args:
        connection: as above.
        email: any spelling; stored in its canonical one.
        name: to show to people.
        password_hash: as `passwords.hash_password` makes it; None for one who comes by a provider.
        user_id: a new one unless given.
    """
    # No time is in it: whoever invites somebody does not learn since when they are known here.
    values = {"id": user_id or uuid4(), "email": canonical_email(email), "name": name, "password_hash": password_hash}
    row = insert_or_ignore(users).values(**values).on_conflict_do_nothing(index_elements=["email"])
    made: UUID | None = connection.execute(row.returning(users.c.id)).scalar_one_or_none()
    return made


def find(connection: Connection, email: str) -> User | None:
    """The user with this e-mail address, in any spelling."""
    return _user(connection.execute(select(*_COLUMNS).where(users.c.email == canonical_email(email))).one_or_none())


def find_by_id(connection: Connection, user_id: UUID) -> User | None:
    """The user with this id."""
    return _user(connection.execute(select(*_COLUMNS).where(users.c.id == user_id)).one_or_none())


def find_by_subject(connection: Connection, issuer: str, subject: str) -> User | None:
    """The user who is bound to this account of a provider."""
    query = select(*_COLUMNS).where(users.c.oidc_issuer == issuer, users.c.oidc_subject == subject)
    return _user(connection.execute(query).one_or_none())


def every_user(connection: Connection) -> Sequence[User]:
    """All users that there ever were, the oldest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(users.c.created_at, users.c.id))
    return [User(**row) for row in rows.mappings()]


def bind(connection: Connection, user_id: UUID, issuer: str, subject: str) -> bool:
    """Bind a user to an account of a provider, for good; False if they are bound to one already."""
    change = (
        update(users)
        .where(users.c.id == user_id, users.c.oidc_subject.is_(None))
        .values(oidc_issuer=issuer, oidc_subject=subject)
    )
    return connection.execute(change).rowcount == 1


def set_password(connection: Connection, user_id: UUID, password_hash: str | None) -> bool:
    """Give a user another password, or with None none; False if there is no such user. Sessions go on: end them too."""
    return _change(connection, user_id, password_hash=password_hash)


def disable(connection: Connection, user_id: UUID) -> bool:
    """Let a user in no more, from now on, with whatever they hold; False if there is no such user."""
    return _change(connection, user_id, disabled_at=func.coalesce(users.c.disabled_at, func.clock_timestamp()))


def enable(connection: Connection, user_id: UUID) -> bool:
    """Let a disabled user in again; what they held before stays ended. False if there is no such user."""
    return _change(connection, user_id, disabled_at=None, sessions_valid_from=func.clock_timestamp())


def memberships_of(connection: Connection, user_id: UUID) -> Sequence[Membership]:
    """What a user is where, by the organizations' names; without those that are closed."""
    query = (
        select(
            memberships.c.organization_id,
            organizations.c.name.label("organization"),
            memberships.c.role,
            memberships.c.accepted_at.is_not(None).label("accepted"),
        )
        .join_from(memberships, organizations)
        .where(memberships.c.user_id == user_id, organizations.c.closed_at.is_(None))
        .order_by(organizations.c.name)
    )
    return [Membership(**row) for row in connection.execute(query).mappings()]


def make_member(
    connection: Connection,
    organization_id: UUID,
    user_id: UUID,
    role: str,
    *,
    by: str,
    name: str | None = None,
    accepted: bool = False,
) -> bool:
    """Make a user a member of an organization; False if they are one already, in whatever role.

    Args:
        connection: as above.
        organization_id: of which.
        user_id: whom.
        role: what they are to be.
        by: who does it.
        name: what the organization calls them.
        accepted: whether it counts at once; else it waits for them to log in to the organization.
    """
    values = {"organization_id": organization_id, "user_id": user_id, "role": role, "created_by": by, "name": name}
    now = func.clock_timestamp() if accepted else None
    row = insert_or_ignore(memberships).values(**values, accepted_at=now).on_conflict_do_nothing()
    return connection.execute(row.returning(memberships.c.user_id)).first() is not None


def accept(connection: Connection, organization_id: UUID, user_id: UUID) -> None:
    """Note that a member has come to the organization; one who has before keeps the time."""
    is_first = (
        memberships.c.organization_id == organization_id,
        memberships.c.user_id == user_id,
        memberships.c.accepted_at.is_(None),
    )
    connection.execute(update(memberships).where(*is_first).values(accepted_at=func.clock_timestamp()))


def has_owner(connection: Connection, organization_id: UUID) -> bool:
    """Whether somebody owns the organization, disabled or not."""
    query = select(memberships.c.user_id).where(
        memberships.c.organization_id == organization_id, memberships.c.role == "owner"
    )
    return connection.execute(query.limit(1)).first() is not None


def _change(connection: Connection, user_id: UUID, **values: object) -> bool:
    return connection.execute(update(users).where(users.c.id == user_id).values(**values)).rowcount == 1


def _user(row: Row[*tuple[Any, ...]] | None) -> User | None:
    return User(**row._mapping) if row is not None else None  # noqa: SLF001 - SQLAlchemy's public name for it
