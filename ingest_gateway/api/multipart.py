"""Uploads in parts over HTTP: begin, get the parts' addresses, see which are there, complete, drop.

The parts go straight to the object store, in any order, side by side, and again where one failed. What is there stays
there: whoever asks which parts are there can go on tomorrow.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from starlette import status

from ingest_gateway import accept, part_uploads, sniff, waiting
from ingest_gateway.access.caller import Caller, MayWriteUploads
from ingest_gateway.api import checks, cursors, doors
from ingest_gateway.api.checks import IdempotencyKey, UploadInPath
from ingest_gateway.api.cursors import Cursor
from ingest_gateway.api.idempotency import Once, OnceRoute
from ingest_gateway.api.models import (
    InParts,
    PartList,
    PartsRequest,
    PartThere,
    PartUrl,
    PartUrls,
    SignRequest,
    Upload,
)
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.storage.parts import MOST_PARTS, count_of, part_bytes_for, size_of
from rowstream.storage.store import Begun, ObjectInfo, ObjectMissing, Part, PartsGone, PartsRefused

both = BothWays("uploads in parts", route_class=OnceRoute)
routers = both.routers

_SHOWN_NUMBERS = 100


@both.post(
    "/multipart",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 409, 413, 422, 503),
    summary="Begin an upload whose file is sent in parts",
)
def begin(wanted: PartsRequest, caller: MayWriteUploads, gateway: TheGateway, key: IdempotencyKey) -> InParts:
    """Make an upload that waits for the parts of its file. Ask for their addresses, send them, then complete it.

    The same Idempotency-Key with the same body is the same upload.
    """
    checks.check_record_type(wanted.record_type)
    checks.check_size(wanted.size_bytes, gateway.settings.gateway.max_upload_bytes)
    part_bytes = wanted.part_bytes or part_bytes_for(wanted.size_bytes)
    _check_count(wanted.size_bytes, part_bytes)
    handed = accept.Handed(record_type=wanted.record_type, filename=wanted.filename)
    bucket = gateway.settings.storage.bucket
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            place = accept.reserve(
                connection, checks.origin(caller, key), handed, size_bytes=wanted.size_bytes, bucket=bucket
            )
            earlier = part_uploads.find(connection, place.upload_id)
    except accept.OtherRequest as error:
        raise checks.other_request(error) from error
    except accept.PlaceGone as error:
        raise checks.not_waiting(caller, error) from error
    part_bytes = earlier.part_bytes if earlier else _begun(gateway, caller, place, part_bytes)
    parts = count_of(wanted.size_bytes, part_bytes)
    return InParts(upload_id=place.upload_id, part_bytes=part_bytes, parts=parts)


@both.post(
    "/{upload_id}/parts",
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="Get the addresses to send parts to",
)
def sign(upload_id: UploadInPath, wanted: SignRequest, caller: MayWriteUploads, gateway: TheGateway) -> PartUrls:
    """Addresses for some parts of the file. When one has run out, ask again; what was sent stays there."""
    found = _in_parts(gateway, caller, upload_id)
    beyond = sorted({number for number in wanted.numbers if number > found.parts})
    if beyond:
        detail = f"the file has {found.parts} parts; there is no part {beyond[0]}"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "no_such_part", detail, parts=found.parts)
    seconds = gateway.settings.gateway.presign_seconds
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    items = []
    for number in wanted.numbers:
        size = size_of(number, found.size_bytes, found.part_bytes)
        url = gateway.store.parts.sign(found.begun, number, size=size, seconds=seconds)
        items.append(PartUrl(number=number, url=url, size_bytes=size))
    return PartUrls(items=items, expires_at=expires_at)


@both.get(
    "/{upload_id}/parts",
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="List the parts that are there",
)
def parts(
    upload_id: UploadInPath,
    caller: MayWriteUploads,
    gateway: TheGateway,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Parts on a page")] = 1_000,
    cursor: Cursor = None,
) -> PartList:
    """Which parts the store has; one that was sent only in half is none of them."""
    after = min(cursors.row_place(cursor), MOST_PARTS) if cursor else 0
    found = _in_parts(gateway, caller, upload_id)
    try:
        page = gateway.store.parts.page(found.begun, after=after, limit=limit)
    except PartsGone as error:
        raise _gone(caller, upload_id) from error
    items = [PartThere(number=part.number, size_bytes=part.size, etag=part.etag) for part in page]
    more = len(page) == limit and page[-1].number < found.parts
    return PartList(items=items, next_cursor=cursors.after_row(page[-1].number) if more else None)


@both.post(
    "/{upload_id}/complete",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": Upload, "description": "It was completed before"},
        **responses(401, 403, 404, 409, 413, 422, 503),
    },
    summary="Complete an upload: all its parts have been sent",
)
def complete(
    upload_id: UploadInPath, caller: MayWriteUploads, _: Once, gateway: TheGateway, response: Response
) -> Upload:
    """Put the file together and accept it: from a 2xx on, the upload is never lost and always comes to an end."""
    with gateway.acting_for(caller.organization_id) as connection:
        found = part_uploads.find(connection, upload_id)
    if found is None:
        raise _none(gateway, caller, upload_id)
    new = False
    if found.place.status == "awaiting_upload":
        stored, reason = _put_together(gateway, caller, found)
        with gateway.acting_for(caller.organization_id) as connection:
            part_uploads.note_completed(connection, upload_id)
        new = doors.take(gateway, caller, found.place, stored, how="parts", reason=reason)
    return checks.accepted(gateway, caller, upload_id, response, new=new)


@both.post(
    "/{upload_id}/abort",
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="Drop an upload whose parts were not all sent",
)
def abort(upload_id: UploadInPath, caller: MayWriteUploads, _: Once, gateway: TheGateway) -> Upload:
    """Remove the parts that are there, and end the upload."""
    with gateway.acting_for(caller.organization_id) as connection:
        found = part_uploads.find(connection, upload_id)
        ended = found is not None and waiting.drop(connection, caller, upload_id)
        left = waiting.left_by(connection, upload_id) if ended else None
    if found is None:
        raise _none(gateway, caller, upload_id)
    if left:
        doors.remove(gateway, left)
    upload = checks.shown_upload(gateway, caller, upload_id)
    if upload.accepted_at is not None:
        raise checks.not_waiting(caller, accept.PlaceGone(upload_id, upload.status))
    return upload


def _check_count(size: int, part_bytes: int) -> None:
    if count_of(size, part_bytes) > MOST_PARTS:
        least = -(-size // MOST_PARTS)
        detail = f"that makes more than {MOST_PARTS} parts; part_bytes of at least {least} does, or leave it out"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "too_many_parts", detail)


def _begun(gateway: Gateway, caller: Caller, place: accept.Place, part_bytes: int) -> int:
    """Begin in the store, or find that another request did meanwhile; returns the parts' size."""
    begun = Begun(bucket=place.bucket, key=place.key, id=gateway.store.parts.begin(place.bucket, place.key))
    with gateway.acting_for(caller.organization_id) as connection:
        if part_uploads.note_begun(connection, caller.organization_id, place.upload_id, begun.id, part_bytes):
            return part_bytes
        first = part_uploads.find(connection, place.upload_id)
    gateway.store.parts.drop(begun)
    return first.part_bytes if first else part_bytes


def _in_parts(gateway: Gateway, caller: Caller, upload_id: UUID) -> part_uploads.InParts:
    """The upload, which waits for parts."""
    with gateway.acting_for(caller.organization_id) as connection:
        found = part_uploads.find(connection, upload_id)
    if found is None:
        raise _none(gateway, caller, upload_id)
    if found.place.status != "awaiting_upload":
        raise checks.not_waiting(caller, accept.PlaceGone(upload_id, found.place.status))
    return found


def _put_together(gateway: Gateway, caller: Caller, found: part_uploads.InParts) -> tuple[ObjectInfo, str | None]:
    """The whole object, of the size that was announced, whoever put it together; and why it is no text."""
    store, place = gateway.store, found.place
    try:
        there = list(store.parts.there(found.begun))
        _check_all_there(found, there)
        store.parts.complete(found.begun, there)
    except (PartsGone, PartsRefused):
        pass  # another request may have put it together, such as one whose answer was lost
    try:
        made, reason = sniff.look(store, place.bucket, place.key)
    except ObjectMissing:
        raise _gone(caller, place.upload_id) from None
    if made.size != place.size_bytes:
        raise _gone(caller, place.upload_id)
    return made, reason


def _check_all_there(found: part_uploads.InParts, there: list[Part]) -> None:
    """Refuse to complete what has parts missing, or of another size than they should have."""
    sizes = {part.number: part.size for part in there}
    wrong = [
        number
        for number in range(1, found.parts + 1)
        if sizes.pop(number, None) != size_of(number, found.size_bytes, found.part_bytes)
    ]
    if wrong or sizes:
        shown = (wrong or sorted(sizes))[:_SHOWN_NUMBERS]
        detail = (
            f"{len(wrong)} of the file's {found.parts} parts are missing, or have not the size that they should have;"
            " send them, then complete the upload again"
        )
        raise Problem(status.HTTP_409_CONFLICT, "parts_missing", detail, missing=shown, count=len(wrong))


def _none(gateway: Gateway, caller: Caller, upload_id: UUID) -> Problem:
    """What is said of an upload that is not sent in parts, if the organization has it at all."""
    checks.shown_upload(gateway, caller, upload_id)
    detail = (
        f"the file of upload {upload_id} is not sent in parts; POST {ROOTS[caller.way]}/multipart begins one that is"
    )
    return Problem(status.HTTP_409_CONFLICT, "not_in_parts", detail)


def _gone(caller: Caller, upload_id: UUID) -> Problem:
    detail = (
        f"the parts of upload {upload_id} are not in the object store any more; drop it"
        f" (POST {ROOTS[caller.way]}/{upload_id}/abort) and begin a new upload"
    )
    return Problem(status.HTTP_409_CONFLICT, "parts_gone", detail)
