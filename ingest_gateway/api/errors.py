"""The rejected records of an upload over HTTP: a page as JSON, or all of them as a stream of CSV or JSON lines.

A stream is read from the database page by page, each page in a transaction of its own: memory stays bounded whatever
the number of errors, and a slow reader holds neither a connection nor a snapshot.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from fastapi.responses import Response, StreamingResponse

from ingest_gateway import error_report, queries
from ingest_gateway.access.caller import Caller, MayReadErrors
from ingest_gateway.api import cursors
from ingest_gateway.api.checks import UploadInPath, no_such_upload
from ingest_gateway.api.models import Rejection, RejectionList
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import responses

both = BothWays("errors")
routers = both.routers

STREAM_PAGE = 2_000
_STREAMS = {
    "csv": (error_report.csv_pages, "text/csv; charset=utf-8; header=present"),
    "jsonl": (error_report.json_pages, "application/jsonl"),
}


@both.get(
    "/{upload_id}/errors",
    response_model=RejectionList,
    responses={
        200: {
            "description": "A page of rejected records; or, as `format` says, all of them as a file",
            "content": {"text/csv": {}, "application/jsonl": {}},
        },
        **responses(401, 403, 404, 422, 503),
    },
    summary="See the rejected records of an upload",
)
def errors(
    upload_id: UploadInPath,
    caller: MayReadErrors,
    gateway: TheGateway,
    code: Annotated[str | None, Query(pattern=r"^[A-Z0-9_]{1,100}$", description="Only with this error code")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Records on a page (json)")] = 100,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before (json)")] = None,
    form: Annotated[
        Literal["json", "csv", "jsonl"], Query(alias="format", description="A page as JSON, or all as a file")
    ] = "json",
) -> RejectionList | Response:
    """Rejected records in row order, each with all its errors and its original text.

    The CSV has the file's own headers, then row_number, error_code and error_message: correct it and hand it in again.
    """
    after = cursors.row_place(cursor) if cursor else 0
    with gateway.acting_for(caller.organization_id) as connection:
        upload = queries.upload(connection, upload_id)
        if upload is None:
            raise no_such_upload(ROOTS[caller.way], upload_id)
        headers = queries.file_headers(connection, upload_id)
        if form == "json":
            rows = queries.rejections(connection, upload_id, code=code, after=after, limit=limit + 1)
            return _page(rows, headers, limit)
        first = queries.rejections(connection, upload_id, code=code, limit=STREAM_PAGE)
    make, media_type = _STREAMS[form]
    pages = _pages(first, _reader(gateway, caller, upload_id, code))
    disposition = error_report.attachment(upload["filename"], form)
    return StreamingResponse(make(pages, headers), media_type=media_type, headers={"Content-Disposition": disposition})


def _page(rows: Sequence[queries.Rejection], headers: Sequence[str], limit: int) -> RejectionList:
    items, following = cursors.page(
        rows,
        limit,
        shown=lambda row: Rejection.model_validate(error_report.shown(row, headers)),
        place=lambda last: cursors.after_row(last.row_number),
    )
    return RejectionList(items=items, next_cursor=following)


def _reader(
    gateway: Gateway, caller: Caller, upload_id: UUID, code: str | None
) -> Callable[[int], Sequence[queries.Rejection]]:
    def read(after: int) -> Sequence[queries.Rejection]:
        with gateway.acting_for(caller.organization_id) as connection:
            return queries.rejections(connection, upload_id, code=code, after=after, limit=STREAM_PAGE)

    return read


def _pages(
    first: Sequence[queries.Rejection], read: Callable[[int], Sequence[queries.Rejection]]
) -> Iterator[Sequence[queries.Rejection]]:
    """All pages, beginning with one that was read already; a page that is not full is the last."""
    page = first
    while page:
        yield page
        if len(page) < STREAM_PAGE:
            return
        page = read(page[-1]["row_number"])
