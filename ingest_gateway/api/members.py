"""Members over HTTP: list, invite, give another role, let go. Nobody makes anyone more than they are themselves."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection
from starlette import status

from ingest_gateway import acts
from ingest_gateway.access import permissions
from ingest_gateway.access.caller import Caller, MayManageMembers, MayReadMembers
from ingest_gateway.access.permissions import Role
from ingest_gateway.api import cursors
from ingest_gateway.api.access_models import Invitation, Member, MemberList, RoleChange
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.idempotency import Once, OnceRoute
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.database import members, users
from rowstream.database.connection import retryable_errors

ROOT = "/api/v1/members"
router = APIRouter(prefix=ROOT, tags=["members"], route_class=OnceRoute)


@router.get("", responses=responses(401, 403, 422, 503), summary="List members, the newest first")
def list_members(
    caller: MayReadMembers,
    gateway: TheGateway,
    limit: Annotated[int, Query(ge=1, le=200, description="Members on a page")] = 50,
    cursor: Cursor = None,
) -> MemberList:
    """One page of the people in the organization."""
    after = cursors.upload_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        rows = members.listed(connection, caller.organization_id, after=after, limit=limit + 1)
    items, following = cursors.page(
        rows, limit, shown=_shown, place=lambda last: cursors.after_upload(last.created_at, last.user_id)
    )
    return MemberList(items=items, next_cursor=following)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
    summary="Invite somebody",
)
def invite(wanted: Invitation, caller: MayManageMembers, _: Once, gateway: TheGateway) -> Member:
    """Make somebody a member by their e-mail address, whom they accept by logging in to the organization.

    Whether they were known here before is not said. One who is new has no password until one is set for them.
    """
    _check_may_give(caller, wanted.role)
    user_id = _user_of(gateway, wanted)
    with gateway.acting_for(caller.organization_id) as connection:
        made_here = users.make_member(
            connection, caller.organization_id, user_id, wanted.role, by=caller.actor.name, name=wanted.name
        )
        if not made_here:
            detail = f"{wanted.email} is a member already; PATCH {ROOT}/{user_id} gives another role"
            raise Problem(status.HTTP_409_CONFLICT, "already_a_member", detail, user_id=str(user_id))
        made = _existing(connection, caller, user_id)
        details = {"email": made.email, "role": made.role}
        acts.note(connection, caller, "member.added", target=str(user_id), details=details)
    return _shown(made)


@router.patch(
    "/{user_id}",
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="Give a member another role",
)
def change_role(user_id: str, wanted: RoleChange, caller: MayManageMembers, _: Once, gateway: TheGateway) -> Member:
    """What they may do changes with their next request. The last owner stays one."""
    wanted_id = _id_in_path(user_id)
    with gateway.acting_for(caller.organization_id) as connection:
        members.lock(connection, caller.organization_id)
        before = _existing(connection, caller, wanted_id)
        _check_may_give(caller, Role(before.role))
        _check_may_give(caller, wanted.role)
        if wanted.role != before.role:
            try:
                members.change_role(connection, caller.organization_id, before, wanted.role)
            except members.LastOwner as error:
                raise _last_owner(error) from error
            details = {"email": before.email, "from": before.role, "to": wanted.role}
            acts.note(connection, caller, "member.role_changed", target=str(wanted_id), details=details)
        return _shown(_existing(connection, caller, wanted_id))


@router.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="Let a member go",
)
def remove(user_id: str, caller: MayManageMembers, _: Once, gateway: TheGateway) -> Response:
    """From now on they may do nothing here. Keys that they made stay: revoke those separately. The last owner stays."""
    wanted_id = _id_in_path(user_id)
    with gateway.acting_for(caller.organization_id) as connection:
        members.lock(connection, caller.organization_id)
        before = _existing(connection, caller, wanted_id)
        _check_may_give(caller, Role(before.role))
        try:
            members.remove(connection, caller.organization_id, before)
        except members.LastOwner as error:
            raise _last_owner(error) from error
        details = {"email": before.email, "role": before.role}
        acts.note(connection, caller, "member.removed", target=str(wanted_id), details=details)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _user_of(gateway: Gateway, wanted: Invitation) -> UUID:
    """The id of the user with this e-mail address, who is made if there is none."""
    with retryable_errors(), gateway.keys.begin() as connection:
        made = users.make_user(connection, wanted.email, wanted.name or wanted.email)
        if made is not None:
            return made
        found = users.find(connection, wanted.email)
    if found is None:
        raise LookupError("a user is neither made nor there")
    return found.id


def _check_may_give(caller: Caller, role: Role) -> None:
    if not permissions.may_give(caller.permissions, role):
        detail = (
            f"{caller.actor.name!r} may not give or take the role {role}, which may do more than they may themselves;"
            " ask an owner of your organization"
        )
        raise Problem(status.HTTP_403_FORBIDDEN, "more_than_own", detail, role=role)


def _existing(connection: Connection, caller: Caller, user_id: UUID) -> members.Member:
    found = members.find(connection, caller.organization_id, user_id)
    if found is None:
        raise _no_such_member(f"there is no member {user_id}")
    return found


def _id_in_path(user_id: str) -> UUID:
    try:
        return UUID(user_id)
    except ValueError:
        raise _no_such_member("the path names no member, whose ids are UUIDs") from None


def _no_such_member(what: str) -> Problem:
    return Problem(status.HTTP_404_NOT_FOUND, "no_such_member", f"{what}; GET {ROOT} lists yours")


def _last_owner(error: members.LastOwner) -> Problem:
    return Problem(status.HTTP_409_CONFLICT, "last_owner", str(error))


def _shown(member: members.Member) -> Member:
    return Member.model_validate(asdict(member))
