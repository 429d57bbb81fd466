"""What every operation that brings a file in asks and answers alike: the checks of a request, and its refusals."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request, Response
from starlette import status

from ingest_gateway import accept, queries, waiting
from ingest_gateway.access.caller import Caller
from ingest_gateway.api import doors
from ingest_gateway.api.models import Upload
from ingest_gateway.api.roots import ROOTS, uploads_root
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import Problem
from rowstream.ids import new_id
from rowstream.records import registry
from rowstream.runtime.metrics import REFUSED

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


async def checked_key(
    idempotency_key: Annotated[
        str | None,
        Header(description="Names the request: the same key with the same content is the same request, not another"),
    ] = None,
) -> str | None:
    """The Idempotency-Key, if there is one.

    Raises:
        Problem: 422, it is none.
    """
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        detail = "the header Idempotency-Key takes 1 to 255 visible ASCII characters, such as a UUID"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "invalid_idempotency_key", detail)
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(checked_key)]


async def upload_in_path(upload_id: str, request: Request) -> UUID:
    """The id in the path; what is no id is the id of nothing.

    Raises:
        Problem: 404.
    """
    try:
        return UUID(upload_id)
    except ValueError:
        raise no_such_upload(uploads_root(request)) from None


UploadInPath = Annotated[UUID, Depends(upload_in_path)]


def origin(caller: Caller, idempotency_key: str | None) -> accept.Origin:
    """Who hands in by this request; each way has keys of its own, and a request without one is like no other."""
    return accept.Origin(
        by=caller, source=caller.way, event_id=idempotency_key or str(new_id()), traceparent=caller.traceparent
    )


def check_record_type(name: str) -> None:
    """Refuse a record type that is not installed; names those that are."""
    try:
        registry.check(name)
    except registry.UnknownRecordType as error:
        known = list(registry.names())
        raise Problem(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "unknown_record_type", str(error), known_record_types=known
        ) from error


def check_size(size: int, limit: int, way_out: str = "split it into several files") -> None:
    """Refuse a file of more than `limit` bytes."""
    if size > limit:
        REFUSED.labels("file_too_large").inc()
        detail = f"the file has {size} bytes, at most {limit} are taken; {way_out}"
        raise Problem(status.HTTP_413_CONTENT_TOO_LARGE, "file_too_large", detail, max_upload_bytes=limit)


def shown_upload(gateway: Gateway, caller: Caller, upload_id: UUID) -> Upload:
    """The upload as people see it.

    Raises:
        Problem: 404, the organization has no such upload.
    """
    with gateway.acting_for(caller.organization_id) as connection:
        row = queries.upload(connection, upload_id)
    if row is None:
        raise no_such_upload(ROOTS[caller.way], upload_id)
    return Upload.model_validate(row)


def accepted(gateway: Gateway, caller: Caller, upload_id: UUID, response: Response, *, new: bool) -> Upload:
    """What is answered of an upload that was accepted now (202), or before (200).

    Raises:
        Problem: 409, it never was, since it was given up; 422, since it was no text.
    """
    upload = shown_upload(gateway, caller, upload_id)
    if upload.accepted_at is None and upload.failure_code == waiting.NO_TEXT:
        raise doors.no_text(str(upload.failure_message))
    if upload.accepted_at is None:
        detail = f"upload {upload_id} was given up: {upload.failure_message or 'begin again with a new upload'}"
        raise Problem(status.HTTP_409_CONFLICT, "upload_given_up", detail)
    response.status_code = status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK
    response.headers["Location"] = f"{ROOTS[caller.way]}/{upload_id}"
    return upload


def no_such_upload(root: str, upload_id: UUID | None = None) -> Problem:
    """404; also for uploads of other organizations, whose existence is nobody's business."""
    what = f"there is no upload {upload_id}" if upload_id else "the path names no upload, whose ids are UUIDs"
    return Problem(status.HTTP_404_NOT_FOUND, "no_such_upload", f"{what}; GET {root} lists yours")


def other_request(error: accept.OtherRequest) -> Problem:
    """422: the Idempotency-Key names another file."""
    detail = f"the Idempotency-Key {error}; use a new key for a new file"
    return Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "idempotency_key_reused", detail)


def not_waiting(caller: Caller, error: accept.PlaceGone) -> Problem:
    """409: the upload of this Idempotency-Key has gone on."""
    root = ROOTS[caller.way]
    detail = f"{error}; GET {root}/{error.upload_id} shows it, a new Idempotency-Key begins another upload"
    return Problem(
        status.HTTP_409_CONFLICT,
        "upload_not_waiting",
        detail,
        upload_id=str(error.upload_id),
        upload_status=error.status,
    )
