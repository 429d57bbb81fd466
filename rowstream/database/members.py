"""Members of an organization: who, in which role. The connection acts for the organization, or may see all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, case, delete, func, or_, select, tuple_, update

from rowstream.database.access_tables import memberships, users
from rowstream.errors import Poison

_HAS_COME = memberships.c.accepted_at.is_not(None)


class LastOwner(Poison):
    """Nobody would be left who may do everything; the message says what to do first."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A person in an organization, as far as it may know them: until they have come, what it said itself.

    Attributes:
        name: What the organization calls them, else their own name; until they have come, the e-mail address.
        accepted_at: When they first logged in to the organization; None for one who is only invited.
        disabled_at: When operators shut them out of the whole system; None also for one who is only invited.
    """

    user_id: UUID
    email: str
    name: str
    role: str
    created_by: str
    created_at: datetime
    accepted_at: datetime | None
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
        LastOwner: they are the last one who is an owner, has come, and is not disabled.
    """
    if role != "owner":
        _need_another_owner(connection, organization_id, member)
    connection.execute(update(memberships).where(*_is(organization_id, member.user_id)).values(role=role))


def remove(connection: Connection, organization_id: UUID, member: Member) -> None:
    """Let a user be no member any more, under `lock`.

    Raises:
        LastOwner: they are the last one who is an owner, has come, and is not disabled.
    """
    _need_another_owner(connection, organization_id, member)
    connection.execute(delete(memberships).where(*_is(organization_id, member.user_id)))


def _need_another_owner(connection: Connection, organization_id: UUID, member: Member) -> None:
    if member.role != "owner" or member.disabled_at:
        return
    as_good = and_(_HAS_COME, users.c.disabled_at.is_(None))
    if member.accepted_at is None:  # of those who are only invited, it is not told whether they are disabled
        as_good = or_(as_good, ~_HAS_COME)
    others = _members(organization_id).where(
        memberships.c.role == "owner", memberships.c.user_id != member.user_id, as_good
    )
    if connection.execute(others.limit(1)).one_or_none() is None:
        detail = "is the last owner who has logged in here; make somebody else an owner first, and let them log in once"
        if member.accepted_at is None:
            detail = "is the last owner; make somebody else an owner first"
        raise LastOwner(f"{member.email} {detail}")


def _is(organization_id: UUID, user_id: UUID) -> tuple[Any, ...]:
    return memberships.c.organization_id == organization_id, memberships.c.user_id == user_id


def _members(organization_id: UUID) -> Select[Any]:
    return (
        select(
            memberships.c.user_id,
            users.c.email,
            func.coalesce(memberships.c.name, case((_HAS_COME, users.c.name), else_=users.c.email)).label("name"),
            memberships.c.role,
            memberships.c.created_by,
            memberships.c.created_at,
            memberships.c.accepted_at,
            case((_HAS_COME, users.c.disabled_at)).label("disabled_at"),
        )
        .join_from(memberships, users)
        .where(memberships.c.organization_id == organization_id)
    )
