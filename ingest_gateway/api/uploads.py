"""Uploads over HTTP: ask where to send a file, confirm that it is there, see what became of it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query, Response
from starlette import status

from ingest_gateway import accept, queries, sniff
from ingest_gateway.access.caller import MayReadUploads, MayWriteUploads
from ingest_gateway.api import checks, cursors, doors
from ingest_gateway.api.checks import IdempotencyKey, UploadInPath
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.idempotency import Once, OnceRoute
from ingest_gateway.api.models import ConfirmRequest, PresignedUrl, PresignRequest, Status, Upload, UploadList
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.storage.store import ObjectInfo, ObjectMissing

both = BothWays("uploads", route_class=OnceRoute)
routers = both.routers

RecordTypeName = Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,100}$", description="Only of this record type")]


@both.post(
    "/presigned_url",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
    summary="Begin an upload: get the address to send a file to",
)
def presigned_url(
    wanted: PresignRequest,
    caller: MayWriteUploads,
    gateway: TheGateway,
    key: IdempotencyKey,
) -> PresignedUrl:
    """Make an upload that waits for its file. Send the file to `url` as `method` says, then confirm the upload.

    The same Idempotency-Key with the same body is the same upload, with a fresh address.
    """
    checks.check_record_type(wanted.record_type)
    checks.check_size(wanted.size_bytes, gateway.settings.gateway.max_upload_bytes)
    origin = checks.origin(caller, key)
    handed = accept.Handed(record_type=wanted.record_type, filename=wanted.filename)
    bucket = gateway.settings.storage.bucket
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            place = accept.reserve(connection, origin, handed, size_bytes=wanted.size_bytes, bucket=bucket)
    except accept.OtherRequest as error:
        raise checks.other_request(error) from error
    except accept.PlaceGone as error:
        raise checks.not_waiting(caller, error) from error
    seconds = gateway.settings.gateway.presign_seconds
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    presigned = gateway.store.presign(place.bucket, place.key, size=wanted.size_bytes, seconds=seconds)
    return PresignedUrl.model_validate(
        {
            "upload_id": place.upload_id,
            "method": presigned.method,
            "url": presigned.url,
            "fields": presigned.fields,
            "expires_at": expires_at,
        }
    )


@both.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": Upload, "description": "It was confirmed before"},
        **responses(400, 401, 403, 404, 409, 413, 422, 503),
    },
    summary="Confirm an upload: its file has been sent",
)
def confirm(
    request: ConfirmRequest, caller: MayWriteUploads, _: Once, gateway: TheGateway, response: Response
) -> Upload:
    """Look at the stored file and accept it: from a 2xx on, the upload is never lost and always comes to an end."""
    upload_id = request.upload_id
    with gateway.acting_for(caller.organization_id) as connection:
        place = accept.place_of(connection, upload_id)
    if place is None:
        raise checks.no_such_upload(ROOTS[caller.way], upload_id)
    new = False
    if place.status == "awaiting_upload":
        found, reason = _look(gateway, place, ROOTS[caller.way])
        new = doors.take(gateway, caller, place, found, how="presigned", reason=reason)
    return checks.accepted(gateway, caller, upload_id, response, new=new)


@both.get("", responses=responses(401, 403, 422, 503), summary="List uploads, the newest first")
def uploads(
    caller: MayReadUploads,
    gateway: TheGateway,
    upload_status: Annotated[Status | None, Query(alias="status", description="Only in this status")] = None,
    record_type: RecordTypeName = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Uploads on a page")] = 50,
    cursor: Cursor = None,
) -> UploadList:
    """One page of the organization's uploads."""
    after = cursors.upload_place(cursor) if cursor else None
    with gateway.acting_for(caller.organization_id) as connection:
        rows = queries.uploads(connection, status=upload_status, record_type=record_type, after=after, limit=limit + 1)
    items, following = cursors.page(
        rows, limit, shown=Upload.model_validate, place=lambda last: cursors.after_upload(last.created_at, last.id)
    )
    return UploadList(items=items, next_cursor=following)


@both.get("/{upload_id}", responses=responses(401, 403, 404, 503), summary="See one upload")
def upload(upload_id: UploadInPath, caller: MayReadUploads, gateway: TheGateway) -> Upload:
    """Where the upload stands, and what became of its records so far."""
    return checks.shown_upload(gateway, caller, upload_id)


def _look(gateway: Gateway, place: accept.Place, root: str) -> tuple[ObjectInfo, str | None]:
    """The stored object of a reserved upload, if it is the one that was announced; and why it is no text."""
    try:
        found, reason = sniff.look(gateway.store, place.bucket, place.key)
    except ObjectMissing:
        detail = (
            f"the file of upload {place.upload_id} is not there yet; send it to the presigned URL, then confirm again"
            f" (POST {root}/presigned_url with the same Idempotency-Key gives a fresh address)"
        )
        raise Problem(status.HTTP_409_CONFLICT, "file_not_there", detail) from None
    checks.check_size(found.size, gateway.settings.gateway.max_upload_bytes)
    if found.size != place.size_bytes:
        detail = (
            f"the stored file has {found.size} bytes, {place.size_bytes} were announced; send the whole file again"
            " to the presigned URL, or begin a new upload with the right size"
        )
        raise Problem(status.HTTP_409_CONFLICT, "size_differs", detail)
    return found, reason
