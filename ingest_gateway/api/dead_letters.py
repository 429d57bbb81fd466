"""What was given up on, over HTTP: the chunks of uploads that stayed unprocessed, and why."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette import status

from ingest_gateway import queries
from ingest_gateway.access.caller import MayReadUploads
from ingest_gateway.api import cursors
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.models import DeadLetter, DeadLetterList
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import Problem, responses

ROOT = "/api/v1/dead_letters"
router = APIRouter(prefix=ROOT, tags=["dead letters"])


@router.get("", responses=responses(401, 403, 422, 503), summary="List what was given up on, the newest first")
def dead_letters(
    caller: MayReadUploads,
    gateway: TheGateway,
    upload_id: Annotated[UUID | None, Query(description="Only of this upload")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Dead letters on a page")] = 50,
    cursor: Cursor = None,
) -> DeadLetterList:
    """One page of the organization's dead letters. To try them again, retry their upload."""
    after = cursors.upload_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        rows = queries.dead_letters_of(connection, upload_id=upload_id, after=after, limit=limit + 1)
    items, following = cursors.page(
        rows, limit, shown=DeadLetter.model_validate, place=lambda last: cursors.after_upload(last.created_at, last.id)
    )
    return DeadLetterList(items=items, next_cursor=following)


@router.get("/{dead_letter_id}", responses=responses(401, 403, 404, 503), summary="See one dead letter")
def dead_letter(dead_letter_id: str, caller: MayReadUploads, gateway: TheGateway) -> DeadLetter:
    """Which records were given up on, after how many tries, and why."""
    try:
        letter_id = UUID(dead_letter_id)
    except ValueError:
        raise _no_such_letter("the path names no dead letter, whose ids are UUIDs") from None
    with gateway.acting_for(caller.organization_id) as connection:
        row = queries.dead_letter(connection, letter_id)
    if row is None:
        raise _no_such_letter(f"there is no dead letter {letter_id}")
    return DeadLetter.model_validate(row)


def _no_such_letter(what: str) -> Problem:
    return Problem(status.HTTP_404_NOT_FOUND, "no_such_dead_letter", f"{what}; GET {ROOT} lists yours")
