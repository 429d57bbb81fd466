"""An object that is stored already, handed in by naming its bucket and key; never by an address."""

from typing import Any

from fastapi import Response
from sqlalchemy import Row
from starlette import status

from ingest_gateway import accept, references, sniff
from ingest_gateway.access.caller import Caller, MayWriteUploads
from ingest_gateway.api import checks, doors
from ingest_gateway.api.checks import IdempotencyKey
from ingest_gateway.api.models import ReferenceRequest, Upload
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from rowstream.messages.upload_request import UploadRequest
from rowstream.runtime.metrics import REFUSED, UPLOADS_SENT
from rowstream.runtime.steps import Step, reached
from rowstream.storage.store import ObjectInfo, ObjectMissing, RequestRefused

both = BothWays("uploads")
routers = both.routers


@both.post(
    "/reference",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": Upload, "description": "It was accepted before, by this Idempotency-Key"},
        **responses(400, 401, 403, 404, 409, 413, 422, 503),
    },
    summary="Hand in an object that is stored already",
)
def reference(
    wanted: ReferenceRequest, caller: MayWriteUploads, gateway: TheGateway, response: Response, key: IdempotencyKey
) -> Upload:
    """Take in an object where it lies, in a bucket that the gateway's operator has allowed and under your own prefix.

    The object stays there, unchanged: one that is replaced before it was read fails the upload. The same
    Idempotency-Key with the same body is the same upload.
    """
    checks.check_record_type(wanted.record_type)
    request = UploadRequest(**wanted.model_dump())
    origin = checks.origin(caller, key)
    with gateway.acting_for(caller.organization_id) as connection:
        earlier = accept.find(connection, origin.source, origin.event_id)
    new = False
    if earlier is None:
        handed, found = _checked(gateway, caller, request)
        with gateway.acting_for(caller.organization_id) as connection:
            bucket, place = request.bucket, request.key
            new = accept.take_in(connection, origin, handed, bucket=bucket, key=place, found=found) is not None
            earlier = accept.find(connection, origin.source, origin.event_id)
        if new:
            reached(Step.UPLOAD_ACCEPTED)
            UPLOADS_SENT.labels("reference").inc()
    if earlier is None:  # pragma: no cover - uploads are never deleted
        raise checks.no_such_upload(ROOTS[caller.way])
    if not new:
        _check_same(earlier, request)
    return checks.accepted(gateway, caller, earlier.id, response, new=new)


def _checked(gateway: Gateway, caller: Caller, request: UploadRequest) -> tuple[accept.Handed, ObjectInfo]:
    """What is handed in and the object itself, if both may be taken."""
    settings = gateway.settings
    try:
        references.check_place(request, settings.gateway.allowed_buckets, settings.storage.bucket)
        references.check_prefix(request, settings.sending.reference_prefix, caller.organization_id)
        found, reason = sniff.look(gateway.store, request.bucket, request.key)
        references.check_object(request, found, settings.gateway.max_upload_bytes)
        filename = references.filename_of(request)
    except (references.NotThere, ObjectMissing) as error:
        REFUSED.labels("no_such_object").inc()
        detail = str(references.not_there(request))
        raise Problem(status.HTTP_404_NOT_FOUND, "no_such_object", detail) from error
    except (references.BadReference, RequestRefused) as error:
        REFUSED.labels("object_not_taken").inc()
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "object_not_taken", str(error)) from error
    if reason:
        raise doors.no_text(reason)
    return accept.Handed(record_type=request.record_type, filename=filename), found


def _check_same(earlier: Row[Any], request: UploadRequest) -> None:
    """Refuse an Idempotency-Key that names another upload."""
    before = (earlier.record_type, earlier.s3_bucket, earlier.s3_key)
    if before != (request.record_type, request.bucket, request.key):
        raise checks.other_request(accept.OtherRequest(f"was used before, for {earlier.filename!r}"))
