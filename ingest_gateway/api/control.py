"""Control of one upload over HTTP: pause, resume, cancel, retry."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Response
from starlette import status

from ingest_gateway import control, queries
from ingest_gateway.access.caller import Caller, MayControlUploads
from ingest_gateway.api import doors
from ingest_gateway.api.checks import UploadInPath, no_such_upload, shown_upload
from ingest_gateway.api.idempotency import Once, OnceRoute
from ingest_gateway.api.models import CancelRequest, Upload
from ingest_gateway.api.roots import ROOTS, BothWays
from ingest_gateway.control import Verb
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses

both = BothWays("control", route_class=OnceRoute)
routers = both.routers

_ANSWERS: dict[int | str, dict[str, object]] = {
    202: {"description": "It is noted; within a second or two the upload follows"},
    200: {"model": Upload, "description": "It is so already, or was asked for before"},
    **responses(401, 403, 404, 409, 422, 503),
}
_ROWS_STAY = CancelRequest()
_WITH_BODY: dict[int | str, dict[str, object]] = {**_ANSWERS, **responses(400, 413)}


@both.post("/{upload_id}/pause", status_code=status.HTTP_202_ACCEPTED, responses=_ANSWERS, summary="Let an upload rest")
def pause(
    upload_id: UploadInPath, caller: MayControlUploads, _: Once, gateway: TheGateway, response: Response
) -> Upload:
    """Begin no further chunk of the upload until it is resumed; what is being worked on is finished."""
    return _ask(gateway, caller, upload_id, Verb.PAUSE, response)


@both.post(
    "/{upload_id}/resume", status_code=status.HTTP_202_ACCEPTED, responses=_ANSWERS, summary="Go on with a paused one"
)
def resume(
    upload_id: UploadInPath, caller: MayControlUploads, _: Once, gateway: TheGateway, response: Response
) -> Upload:
    """Go on where the upload was paused."""
    return _ask(gateway, caller, upload_id, Verb.RESUME, response)


@both.post(
    "/{upload_id}/cancel", status_code=status.HTTP_202_ACCEPTED, responses=_WITH_BODY, summary="End an upload for good"
)
def cancel(
    upload_id: UploadInPath,
    caller: MayControlUploads,
    _: Once,
    gateway: TheGateway,
    response: Response,
    wanted: Annotated[CancelRequest, Body()] = _ROWS_STAY,
) -> Upload:
    """Work on nothing more of the upload. Its loaded rows stay, or with `undo` are taken out again.

    A cancelled upload may still be asked to undo; `undone_at` says when that is done, `undone_records` how many rows
    went. One that still waits for its file has failed at once, and what came of the file is removed.
    """
    if doors.drop(gateway, caller, upload_id):
        return shown_upload(gateway, caller, upload_id)
    return _ask(gateway, caller, upload_id, Verb.CANCEL, response, undo=wanted.undo)


@both.post(
    "/{upload_id}/retry", status_code=status.HTTP_202_ACCEPTED, responses=_ANSWERS, summary="Try a failed upload again"
)
def retry(
    upload_id: UploadInPath, caller: MayControlUploads, _: Once, gateway: TheGateway, response: Response
) -> Upload:
    """Work on all that has no outcome yet, from the stored file, as a further attempt; what was done stays done.

    That holds for duplicates too: a record that is worked only now and has the key of one that was accepted is rejected
    as its duplicate, even where it comes first in the file.
    """
    return _ask(gateway, caller, upload_id, Verb.RETRY, response)


def _ask(
    gateway: Gateway, caller: Caller, upload_id: UUID, verb: Verb, response: Response, *, undo: bool = False
) -> Upload:
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            new = control.ask(connection, upload_id, verb, undo=undo, by=caller)
            shown = queries.upload(connection, upload_id)
    except control.NoSuchUpload:
        raise no_such_upload(ROOTS[caller.way], upload_id) from None
    except control.NotNow as error:
        detail = f"upload {upload_id}: {error}"
        raise Problem(
            status.HTTP_409_CONFLICT, "not_in_this_state", detail, upload_status=error.standing.status
        ) from error
    response.status_code = status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK
    return Upload.model_validate(shown)
