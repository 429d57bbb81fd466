"""The trail of acts over HTTP: who did what, when, from where; it can be read and not be changed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from ingest_gateway import queries
from ingest_gateway.access.caller import MayReadActs
from ingest_gateway.api import cursors
from ingest_gateway.api.access_models import Act, ActList
from ingest_gateway.api.checks import UploadInPath, no_such_upload
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import responses
from rowstream.database import acts

router = APIRouter(prefix="/api/v1/acts", tags=["acts"])
both = BothWays("acts")
routers = (router, *both.routers)

Limit = Annotated[int, Query(ge=1, le=200, description="Acts on a page")]


@router.get("", responses=responses(401, 403, 422, 503), summary="See who did what, the newest first")
def list_acts(
    caller: MayReadActs,
    gateway: TheGateway,
    upload_id: Annotated[UUID | None, Query(description="Only on this upload")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ActList:
    """One page of all that people, keys and operators did in the organization."""
    after = cursors.row_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        return _page(acts.newest(connection, upload_id=upload_id, after=after, limit=limit + 1), limit)


@both.get(
    "/{upload_id}/acts",
    responses=responses(401, 403, 404, 422, 503),
    summary="See who did what with an upload, the newest first",
)
def acts_on_upload(
    upload_id: UploadInPath, caller: MayReadActs, gateway: TheGateway, limit: Limit = 50, cursor: Cursor = None
) -> ActList:
    """One page of all that people, keys and operators did with one upload."""
    after = cursors.row_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        if queries.upload(connection, upload_id) is None:
            raise no_such_upload(ROOTS[caller.way], upload_id)
        return _page(acts.newest(connection, upload_id=upload_id, after=after, limit=limit + 1), limit)


def _page(rows: Sequence[Mapping[str, Any]], limit: int) -> ActList:
    items, following = cursors.page(
        rows, limit, shown=Act.model_validate, place=lambda last: cursors.after_row(last.id)
    )
    return ActList(items=items, next_cursor=following)
