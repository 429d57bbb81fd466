"""Members of an organization: who, in which role. The connection acts for the organization, or may see all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, delete, select, tuple_, update

from rowstream.database.access_tables import memberships, users
from rowstream.errors import Poison


class LastOwner(Poison):
    """Nobody would be left who may do everything; the message says what to do first."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A person in an organization; `disabled_at` is when operators shut them out of the whole system."""

    user_id: UUID
    email: str
    name: str
    role: str
    created_by: str
    created_at: datetime
    disabled_at: datetime | None


def find(connection: Connection, organization_id: UUID, user_id: UUID) -> Member | None:
    """One member, or None."""
    query = _members(organization_id).where(memberships.c.user_id == user_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Member(**row)


def listed(
    connection: Connection, organization_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int
) -> Sequence[Member]:
    """The members, the newest first, at most `limit`, those after a place in that order."""
    columns = memberships.c
    query = _members(organization_id).order_by(columns.created_at.desc(), columns.user_id.desc()).limit(limit)
    if after:
        query = query.where(tuple_(columns.created_at, columns.user_id) < tuple_(*after))
    return [Member(**row) for row in connection.execute(query).mappings()]


def lock(connection: Connection, organization_id: UUID) -> None:
    """Let nobody else change who is a member, or in which role, until the commit."""
    # One lock for all changes of one organization: two owners who take the role from each other must not both succeed.
    connection.execute(
        select(memberships.c.user_id)
        .where(memberships.c.organization_id == organization_id)
        .order_by(memberships.c.user_id)
        .with_for_update()
    ).all()


def change_role(connection: Connection, organization_id: UUID, member: Member, role: str) -> None:
    """Give a member another role, under `lock`.

    Raises:
        LastOwner: they are the last one who is an owner and not disabled.
    """
    if role != "owner":
        _need_another_owner(connection, organization_id, member)
    connection.execute(update(memberships).where(*_is(organization_id, member.user_id)).values(role=role))


def remove(connection: Connection, organization_id: UUID, member: Member) -> None:
    """Let a user be no member any more, under `lock`.

    Raises:
        LastOwner: they are the last one who is an owner and not disabled.
    """
    _need_another_owner(connection, organization_id, member)
    connection.execute(delete(memberships).where(*_is(organization_id, member.user_id)))


def _need_another_owner(connection: Connection, organization_id: UUID, member: Member) -> None:
    if member.role != "owner" or member.disabled_at:
        return
    others = _members(organization_id).where(
        memberships.c.role == "owner", memberships.c.user_id != member.user_id, users.c.disabled_at.is_(None)
    )
    if connection.execute(others.limit(1)).one_or_none() is None:
        raise LastOwner(f"{member.email} is the last owner; make somebody else an owner first")


def _is(organization_id: UUID, user_id: UUID) -> tuple[Any, ...]:
    return memberships.c.organization_id == organization_id, memberships.c.user_id == user_id


def _members(organization_id: UUID) -> Select[Any]:
    return (
        select(
            memberships.c.user_id,
            users.c.email,
            users.c.name,
            memberships.c.role,
            memberships.c.created_by,
            memberships.c.created_at,
            users.c.disabled_at,
        )
        .join_from(memberships, users)
        .where(memberships.c.organization_id == organization_id)
    )
