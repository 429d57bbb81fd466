"""Uploads over HTTP: ask where to send a file, confirm that it is there, see what became of it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from starlette import status

from ingest_gateway import accept, queries
from ingest_gateway.access.caller import Caller, MayReadUploads, MayWriteUploads
from ingest_gateway.api import cursors
from ingest_gateway.api.models import ConfirmRequest, PresignedUrl, PresignRequest, Status, Upload, UploadList
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.ids import new_id
from rowstream.records import registry
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo, ObjectMissing

ROOT = "/api/v1/batch_uploads"
router = APIRouter(prefix=ROOT, tags=["uploads"])

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
RecordTypeName = Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,100}$", description="Only of this record type")]


def upload_in_path(upload_id: str) -> UUID:
    """The id in the path; what is no id is the id of nothing.

    Raises:
        Problem: 404.
    """
    try:
        return UUID(upload_id)
    except ValueError:
        raise no_such_upload() from None


UploadInPath = Annotated[UUID, Depends(upload_in_path)]


def no_such_upload(upload_id: UUID | None = None) -> Problem:
    """404; also for uploads of other organizations, whose existence is nobody's business."""
    what = f"there is no upload {upload_id}" if upload_id else "the path names no upload, whose ids are UUIDs"
    return Problem(status.HTTP_404_NOT_FOUND, "no_such_upload", f"{what}; GET {ROOT} lists yours")


@router.post(
    "/presigned_url",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
    summary="Begin an upload: get the address to send a file to",
)
def presigned_url(
    wanted: PresignRequest,
    caller: MayWriteUploads,
    gateway: TheGateway,
    idempotency_key: Annotated[
        str | None, Header(description="The same key with the same body is the same upload, with a fresh address")
    ] = None,
) -> PresignedUrl:
    """Make an upload that waits for its file. Send the file to `url` as `method` says, then confirm the upload."""
    _check_record_type(wanted.record_type)
    _check_size(wanted.size_bytes, gateway)
    origin = _origin(caller, _checked_key(idempotency_key))
    handed = accept.Handed(record_type=wanted.record_type, filename=wanted.filename)
    bucket = gateway.settings.storage.bucket
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            upload_id, key = accept.reserve(connection, origin, handed, size_bytes=wanted.size_bytes, bucket=bucket)
    except accept.OtherRequest as error:
        detail = f"the Idempotency-Key {error}; use a new key for a new file"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "idempotency_key_reused", detail) from error
    except accept.PlaceGone as error:
        detail = f"{error}; GET {ROOT}/{error.upload_id} shows it, a new Idempotency-Key begins another upload"
        raise Problem(
            status.HTTP_409_CONFLICT,
            "upload_not_waiting",
            detail,
            upload_id=str(error.upload_id),
            upload_status=error.status,
        ) from error
    seconds = gateway.settings.gateway.presign_seconds
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    presigned = gateway.store.presign(bucket, key, size=wanted.size_bytes, seconds=seconds)
    return PresignedUrl.model_validate(
        {
            "upload_id": upload_id,
            "method": presigned.method,
            "url": presigned.url,
            "fields": presigned.fields,
            "expires_at": expires_at,
        }
    )


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": Upload, "description": "It was confirmed before"},
        **responses(400, 401, 403, 404, 409, 413, 422, 503),
    },
    summary="Confirm an upload: its file has been sent",
)
def confirm(request: ConfirmRequest, caller: MayWriteUploads, gateway: TheGateway, response: Response) -> Upload:
    """Look at the stored file and accept it: from a 2xx on, the upload is never lost and always comes to an end."""
    upload_id = request.upload_id
    with gateway.acting_for(caller.organization_id) as connection:
        place = accept.place_of(connection, upload_id)
    if place is None:
        raise no_such_upload(upload_id)
    new = False
    if place.status == "awaiting_upload":
        found = _look(gateway, place)
        with gateway.acting_for(caller.organization_id) as connection:
            new = accept.confirm(connection, caller, upload_id, found)
        if new:
            reached(Step.UPLOAD_ACCEPTED)
    upload = _upload(gateway, caller, upload_id)
    if upload.accepted_at is None:
        detail = f"upload {upload_id} was given up, since its file did not come in time; begin again with a new upload"
        raise Problem(status.HTTP_409_CONFLICT, "upload_given_up", detail)
    response.status_code = status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK
    response.headers["Location"] = f"{ROOT}/{upload_id}"
    return upload


@router.get("", responses=responses(401, 403, 422, 503), summary="List uploads, the newest first")
def uploads(
    caller: MayReadUploads,
    gateway: TheGateway,
    upload_status: Annotated[Status | None, Query(alias="status", description="Only in this status")] = None,
    record_type: RecordTypeName = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Uploads on a page")] = 50,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
) -> UploadList:
    """One page of the organization's uploads."""
    after = cursors.upload_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        rows = queries.uploads(connection, status=upload_status, record_type=record_type, after=after, limit=limit + 1)
    items = [Upload.model_validate(row) for row in rows[:limit]]
    more = len(rows) > limit
    return UploadList(
        items=items, next_cursor=cursors.after_upload(items[-1].created_at, items[-1].id) if more else None
    )


@router.get("/{upload_id}", responses=responses(401, 403, 404, 503), summary="See one upload")
def upload(upload_id: UploadInPath, caller: MayReadUploads, gateway: TheGateway) -> Upload:
    """Where the upload stands, and what became of its records so far."""
    return _upload(gateway, caller, upload_id)


def _upload(gateway: Gateway, caller: Caller, upload_id: UUID) -> Upload:
    with gateway.acting_for(caller.organization_id) as connection:
        row = queries.upload(connection, upload_id)
    if row is None:
        raise no_such_upload(upload_id)
    return Upload.model_validate(row)


def _look(gateway: Gateway, place: accept.Place) -> ObjectInfo:
    """The stored object of a reserved upload, if it is the one that was announced."""
    try:
        found = gateway.store.look(place.bucket, place.key)
    except ObjectMissing:
        detail = (
            f"the file of upload {place.upload_id} is not there yet; send it to the presigned URL, then confirm again"
            f" (POST {ROOT}/presigned_url with the same Idempotency-Key gives a fresh address)"
        )
        raise Problem(status.HTTP_409_CONFLICT, "file_not_there", detail) from None
    _check_size(found.size, gateway)
    if found.size != place.size_bytes:
        detail = (
            f"the stored file has {found.size} bytes, {place.size_bytes} were announced; send the whole file again"
            " to the presigned URL, or begin a new upload with the right size"
        )
        raise Problem(status.HTTP_409_CONFLICT, "size_differs", detail)
    return found


def _check_record_type(name: str) -> None:
    try:
        registry.find(name)
    except registry.UnknownRecordType as error:
        known = list(registry.record_types())
        raise Problem(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "unknown_record_type", str(error), known_record_types=known
        ) from error


def _check_size(size: int, gateway: Gateway) -> None:
    limit = gateway.settings.gateway.max_upload_bytes
    if size > limit:
        detail = f"the file has {size} bytes, at most {limit} are taken; split it into several files"
        raise Problem(status.HTTP_413_CONTENT_TOO_LARGE, "file_too_large", detail, max_upload_bytes=limit)


def _checked_key(key: str | None) -> str | None:
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        detail = "the header Idempotency-Key takes 1 to 255 visible ASCII characters, such as a UUID"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "invalid_idempotency_key", detail)
    return key


def _origin(caller: Caller, idempotency_key: str | None) -> accept.Origin:
    return accept.Origin(
        by=caller, source=accept.API_SOURCE, event_id=idempotency_key or str(new_id()), traceparent=caller.traceparent
    )
