"""A small file in one request: its bytes go on to the object store as they come, and at the end it is accepted.

Nothing is held but what one part of an object takes. Where the body breaks off, is too large, too slow or no text,
nothing is accepted, and what was stored of it is removed.
"""

import threading
from dataclasses import replace
from typing import Annotated

from fastapi import Query, Request, Response
from starlette import status
from starlette.concurrency import run_in_threadpool

from ingest_gateway import accept, sniff
from ingest_gateway.access.caller import Caller, MayWriteUploads
from ingest_gateway.api import checks, doors
from ingest_gateway.api.checks import IdempotencyKey
from ingest_gateway.api.file_body import FORM, FileBody
from ingest_gateway.api.models import Upload
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import RETRY_AFTER_SECONDS, Problem, responses
from ingest_gateway.sending_settings import SendingSlice
from rowstream.errors import Poison
from rowstream.ids import new_id
from rowstream.runtime.metrics import REFUSED
from rowstream.storage.file_kinds import SNIFF_BYTES
from rowstream.storage.writer import ObjectWriter

both = BothWays("uploads")
routers = both.routers

PATHS = frozenset(f"{root}/content" for root in ROOTS.values())
"""Where a body may be as large as a file."""
_FORM_BYTES = 64 * 1024
"""Of a form, beside its file."""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "format": "binary"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def most_bytes(settings: SendingSlice) -> int:
    """How large the body of such a request may be: a file, and a form around it."""
    return settings.content_max_bytes + _FORM_BYTES


class Turns:
    """How many files are taken in one request at a time; one more is not waited for."""

    def __init__(self, at_once: int) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            REFUSED.labels("busy").inc()
            detail = "as many files are being taken as may be at a time; send it again in a few seconds"
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Connection": "close"}
            raise Problem(status.HTTP_503_SERVICE_UNAVAILABLE, "busy", detail, headers=headers)

    def __exit__(self, *_: object) -> None:
        self._free.release()


@both.post(
    "/content",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": Upload, "description": "It was accepted before, by this Idempotency-Key"},
        **responses(400, 401, 403, 408, 409, 413, 422, 503),
    },
    openapi_extra=_BODY,
    summary="Upload a small file in one request",
)
async def content(
    request: Request,
    caller: MayWriteUploads,
    gateway: TheGateway,
    response: Response,
    key: IdempotencyKey,
    record_type: Annotated[
        str, Query(description="What each record is; GET /api/v1/record_types lists the known ones")
    ],
    filename: Annotated[str | None, Query(description="The name to show to people; a form's file has its own")] = None,
) -> Upload:
    """Send the file as the body, or in a form's part `file`. From a 2xx on the upload is never lost.

    The same Idempotency-Key with the same file is the same upload; a body that broke off may be sent again with it.
    """
    checks.check_record_type(record_type)
    turns: Turns = request.app.state.content_turns
    with turns:
        body = FileBody(request, filename, gateway.settings.sending.content_max_bytes)
        await body.begin()
        handed = accept.Handed(record_type=record_type, filename=body.filename)
        place = await run_in_threadpool(_reserve, gateway, caller, key, handed)
        new = False
        if place.status == "awaiting_upload":
            new = await _taken(gateway, caller, place, body, named=key is not None)
        else:
            await _compared(place, body)
    return await run_in_threadpool(checks.accepted, gateway, caller, place.upload_id, response, new=new)


def _reserve(gateway: Gateway, caller: Caller, key: str | None, handed: accept.Handed) -> accept.Place:
    """The place of the upload that this request makes, or made before."""
    bucket = gateway.settings.storage.bucket
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            return accept.reserve(connection, checks.origin(caller, key), handed, size_bytes=None, bucket=bucket)
    except accept.OtherRequest as error:
        raise checks.other_request(error) from error
    except accept.PlaceGone as error:
        with gateway.acting_for(caller.organization_id) as connection:
            place = accept.place_of(connection, error.upload_id)
        if place is None:  # pragma: no cover - uploads are never deleted
            raise
        return place


async def _taken(gateway: Gateway, caller: Caller, place: accept.Place, body: FileBody, *, named: bool) -> bool:
    """Store the body and accept it; under a key of this request alone, so that another with its name does no harm."""
    mine = replace(place, key=f"{place.key}.{new_id()}")
    writer = ObjectWriter(gateway.store, mine.bucket, mine.key)
    try:
        reason = await _written(writer, body)
        _check_same_size(body.size, place)
        if named:  # no other request can mean the upload of one that has no name
            await run_in_threadpool(_check_first, gateway, caller, place, body.sha256)
        found = None if reason else await run_in_threadpool(writer.finish)
    except BaseException:
        await run_in_threadpool(writer.discard)
        raise
    # Whatever happens from here on, the object stays until it is known whether it was accepted.
    if found is None:
        await run_in_threadpool(doors.refuse, gateway, caller, place, str(reason))
        return False
    try:
        return await run_in_threadpool(doors.take, gateway, caller, mine, found, how="content")
    except Poison:
        await run_in_threadpool(writer.discard)
        raise


async def _written(writer: ObjectWriter, body: FileBody) -> str | None:
    """Write the body; or read it to its end, so that its sender hears the answer: why it is no text."""
    start, reason = b"", None
    async for piece in body:
        if len(start) < SNIFF_BYTES:
            start += piece[: SNIFF_BYTES - len(start)]
            reason = sniff.why_no_text(start) if len(start) == SNIFF_BYTES else None
        if reason is None and writer.fits(piece):
            writer.write(piece)
        elif reason is None:
            await run_in_threadpool(writer.write, piece)
    return reason or sniff.why_no_text(start)


async def _compared(place: accept.Place, body: FileBody) -> None:
    """Read the body of a request whose upload was accepted before, to tell another file from the same."""
    async for _ in body:
        pass
    _check_same_size(body.size, place)
    if place.body_sha256 not in {None, body.sha256}:
        raise _other_file()


def _check_first(gateway: Gateway, caller: Caller, place: accept.Place, sha256: bytes) -> None:
    """Refuse another file than the first that came whole under this Idempotency-Key, be it at the same time."""
    with gateway.acting_for(caller.organization_id) as connection:
        first = accept.name_body(connection, place.upload_id, sha256)
    if first != sha256:
        raise _other_file()


def _other_file() -> Problem:
    detail = "the Idempotency-Key was used before, for another file of this name; use a new key for a new file"
    return Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "idempotency_key_reused", detail)


def _check_same_size(size: int, place: accept.Place) -> None:
    """Refuse another file than the one that the Idempotency-Key was used for; a place may not know how large it is."""
    if place.size_bytes not in {None, size}:
        detail = f"the Idempotency-Key was used before, for a file of {place.size_bytes} bytes; this one has {size}"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "idempotency_key_reused", detail)
