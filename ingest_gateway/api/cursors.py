"""Cursors: where the next page begins, as text that callers hand back and do not read."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query
from starlette import status

from ingest_gateway.problems import Problem

_LARGEST_ROW = 2**63 - 1
Found = TypeVar("Found")
Item = TypeVar("Item")

Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]
"""Where a page is to begin; without one, at the beginning."""


def page(
    rows: Sequence[Found], limit: int, *, shown: Callable[[Found], Item], place: Callable[[Item], str]
) -> tuple[list[Item], str | None]:
    """The items of a page, and the cursor of the next one: None where `rows`, asked for with one more, have no more.

    Args:
        rows: what was found, up to `limit` + 1 of it.
        limit: how many items a page has.
        shown: makes the item that is answered of a row.
        place: the cursor of the page that begins after an item.
    """
    items = [shown(row) for row in rows[:limit]]
    return items, place(items[-1]) if len(rows) > limit else None


def after_upload(created_at: datetime, upload_id: UUID) -> str:
    """The cursor of the page that begins after this upload."""
    return _packed([created_at.isoformat(), str(upload_id)])


def upload_place(cursor: str) -> tuple[datetime, UUID]:
    """What `after_upload` packed.

    Raises:
        Problem: 422, it is no cursor of this list.
    """
    match _unpacked(cursor):
        case [str(moment), str(upload_id)]:
            try:
                created_at = datetime.fromisoformat(moment)
                if created_at.tzinfo:
                    return created_at, UUID(upload_id)
            except ValueError:
                pass
    raise _no_cursor()


def after_row(row_number: int) -> str:
    """The cursor of the page that begins after this row."""
    return _packed([row_number])


def row_place(cursor: str) -> int:
    """What `after_row` packed.

    Raises:
        Problem: 422, it is no cursor of this list.
    """
    match _unpacked(cursor):
        case [bool()]:
            pass
        case [int(row_number)] if 0 <= row_number <= _LARGEST_ROW:
            return row_number
    raise _no_cursor()


def _packed(place: list[str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def _unpacked(cursor: str) -> object:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None


def _no_cursor() -> Problem:
    detail = "the cursor is not one of this list; take it from next_cursor of the page before, unchanged"
    return Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "invalid_cursor", detail)
