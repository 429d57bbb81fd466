"""Keys over HTTP: make, list, rotate, revoke. Nobody gives a key more than they may do themselves, nor for longer."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from starlette import status

from ingest_gateway import acts
from ingest_gateway.access import permissions
from ingest_gateway.access.caller import Caller, MayManageKeys, MayReadKeys
from ingest_gateway.access.permissions import Permission
from ingest_gateway.api import cursors
from ingest_gateway.api.access_models import Key, KeyList, KeyRequest, NewKey, RotateRequest
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.idempotency import Once, OnceRoute, OnceSealed
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.database import keys, signers
from rowstream.database.keys import StoredKey
from rowstream.ids import new_id

ROOT = "/api/v1/keys"
router = APIRouter(prefix=ROOT, tags=["keys"], route_class=OnceRoute)

_A_DAY = RotateRequest()


@router.get("", responses=responses(401, 403, 422, 503), summary="List keys, the newest first")
def list_keys(
    caller: MayReadKeys,
    gateway: TheGateway,
    limit: Annotated[int, Query(ge=1, le=200, description="Keys on a page")] = 50,
    cursor: Cursor = None,
) -> KeyList:
    """One page of the organization's keys, none of them readable."""
    after = cursors.upload_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        rows = keys.newest_keys(connection, caller.organization_id, after=after, limit=limit + 1)
    items, following = cursors.page(
        rows, limit, shown=_shown, place=lambda last: cursors.after_upload(last.created_at, last.id)
    )
    return KeyList(items=items, next_cursor=following)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
    summary="Make a key",
)
def make_key(wanted: KeyRequest, caller: MayManageKeys, _: OnceSealed, gateway: TheGateway) -> NewKey:
    """Make a key, and show it this once. It may do nothing that the caller may not, and ends no later than they do.

    The same request again, with its Idempotency-Key, is shown it again.
    """
    scopes = wanted.scopes if wanted.scopes is not None else permissions.of_scopes(None)
    _check_scopes(caller, frozenset(scopes))
    _check_end(caller, wanted.expires_at or caller.ends_at)
    key_id = new_id()
    secret = signers.secret_of(gateway.secrets.current(), key_id) if wanted.signed_only else None
    with gateway.acting_for(caller.organization_id) as connection:
        key = keys.make_key(
            connection,
            caller.organization_id,
            wanted.name,
            key_id=key_id,
            expires_at=wanted.expires_at or caller.ends_at,
            scopes=scopes,
            created_by=caller.actor.name,
            signing_secret=secret,
        )
        made = _existing(keys.stored_key(connection, caller.organization_id, key_id), key_id)
        acts.note(connection, caller, "key.made", target=str(key_id), details=_told(made))
    return NewKey(**dict(_shown(made)), key=key)


@router.post(
    "/{key_id}/rotate",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="Rotate a key: make its successor",
)
def rotate_key(
    key_id: str,
    caller: MayManageKeys,
    _: OnceSealed,
    gateway: TheGateway,
    wanted: Annotated[RotateRequest, Body()] = _A_DAY,
) -> NewKey:
    """Make a key of the same name, scopes and lifetime. The old one goes on for the overlap, then it ends.

    A key that would end after the caller's own is not made.
    """
    old_id, successor_id = _id_in_path(key_id), new_id()
    with gateway.acting_for(caller.organization_id) as connection:
        old = _existing(keys.stored_key(connection, caller.organization_id, old_id, lock=True), old_id)
        _check_scopes(caller, permissions.of_scopes(old.scopes))
        secret = signers.secret_of(gateway.secrets.current(), successor_id) if old.signed_only else None
        try:
            key = keys.replace(
                connection,
                caller.organization_id,
                old,
                key_id=successor_id,
                overlap_seconds=wanted.overlap_seconds,
                created_by=caller.actor.name,
                signing_secret=secret,
            )
        except keys.NotRotatable as error:
            raise Problem(status.HTTP_409_CONFLICT, "key_not_rotatable", str(error)) from error
        made = _existing(keys.stored_key(connection, caller.organization_id, successor_id), successor_id)
        _check_end(caller, made.expires_at)
        details = {"successor": str(successor_id), "overlap_seconds": wanted.overlap_seconds}
        acts.note(connection, caller, "key.rotated", target=str(old_id), details=details)
    return NewKey(**dict(_shown(made)), key=key)


@router.delete(
    "/{key_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="Revoke a key",
)
def revoke_key(key_id: str, caller: MayManageKeys, _: Once, gateway: TheGateway) -> Response:
    """End a key: from now on it is refused. Uploads that were made with it go on; revoking it again changes nothing."""
    wanted = _id_in_path(key_id)
    with gateway.acting_for(caller.organization_id) as connection:
        old = _existing(keys.stored_key(connection, caller.organization_id, wanted, lock=True), wanted)
        if old.revoked_at is None:
            keys.revoke(connection, caller.organization_id, wanted)
            acts.note(connection, caller, "key.revoked", target=str(wanted), details={"name": old.name})
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _check_scopes(caller: Caller, scopes: frozenset[Permission]) -> None:
    beyond = sorted(scopes - caller.permissions)
    if beyond:
        detail = (
            f"{caller.actor.name!r} may not give what they may not do themselves: {', '.join(beyond)};"
            " leave these scopes out, or ask an administrator of your organization"
        )
        raise Problem(status.HTTP_403_FORBIDDEN, "more_than_own", detail, missing=beyond)


def _check_end(caller: Caller, end: datetime | None) -> None:
    """A key that ends makes none that goes on after it: otherwise it would have no end itself."""
    if caller.ends_at is not None and (end is None or end > caller.ends_at):
        own = caller.ends_at.isoformat()
        detail = (
            f"{caller.actor.name!r} ends at {own} and may not make a key that goes on after it;"
            " ask for an earlier end, or ask an administrator of your organization"
        )
        raise Problem(status.HTTP_403_FORBIDDEN, "more_than_own", detail, ends_at=own)


def _id_in_path(key_id: str) -> UUID:
    try:
        return UUID(key_id)
    except ValueError:
        raise _no_such_key("the path names no key, whose ids are UUIDs") from None


def _existing(stored: StoredKey | None, key_id: UUID) -> StoredKey:
    if stored is None:
        raise _no_such_key(f"there is no key {key_id}")
    return stored


def _no_such_key(what: str) -> Problem:
    return Problem(status.HTTP_404_NOT_FOUND, "no_such_key", f"{what}; GET {ROOT} lists yours")


def _shown(stored: StoredKey) -> Key:
    may = permissions.of_scopes(stored.scopes)
    return Key.model_validate({**asdict(stored), "scopes": [one for one in Permission if one in may]})


def _told(made: StoredKey) -> dict[str, object]:
    """What the trail of acts says of a new key."""
    end = made.expires_at.isoformat() if made.expires_at else None
    return {"name": made.name, "scopes": made.scopes, "expires_at": end, "signed_only": made.signed_only}
