"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request again is answered, not done again.

An operation takes `Once` as its parameter behind its caller, and is a route of the class `OnceRoute`. The same key with
the same method, path and body is answered as the first time; with others it is refused (422), and while the first one
runs as well (409). An answer that says that nothing was done and that the same may succeed later is not kept.

Operations that make an upload do not need it: there the key names the upload itself.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette import status
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ingest_gateway import answers
from ingest_gateway.access.caller import Caller
from ingest_gateway.answers import Answer, Claim
from ingest_gateway.api.checks import IdempotencyKey
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import RETRY_AFTER_SECONDS, Problem, of_exception
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

REPLAYED = "Idempotent-Replayed"
_KEPT_HEADERS = ("content-type", "location", "www-authenticate", "allow")
_MAY_SUCCEED_LATER = frozenset(
    {status.HTTP_408_REQUEST_TIMEOUT, status.HTTP_409_CONFLICT, status.HTTP_429_TOO_MANY_REQUESTS}
)


class _AnsweredBefore(Exception):
    """No error: how a dependency answers in place of its operation."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def once(request: Request, gateway: TheGateway, key: IdempotencyKey) -> None:
    """Let the operation run only if no other request with its key has run or runs; no key, no question.

    Raises:
        Problem: 422, the key was used for another request; 409, the first one has no answer yet.
        Retryable: the database does not answer.
    """
    if key is None:
        return
    caller: Caller = request.state.caller
    body = await request.body()
    request.state.claim = await run_in_threadpool(_claim, gateway, caller, key, fingerprint(request, body))


Once = Annotated[None, Depends(once)]


def fingerprint(request: Request, body: bytes) -> bytes:
    """What tells another request from the same: 32 bytes of method, path, query and body."""
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + body).digest()


def is_kept(code: int) -> bool:
    """Whether an answer with this status is given again; others free their key."""
    return code < status.HTTP_500_INTERNAL_SERVER_ERROR and code not in _MAY_SUCCEED_LATER


class OnceRoute(APIRoute):
    """A route whose answers are kept for requests that took `Once`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's own handler, and the keeping around it."""
        run = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await run(request)
            except _AnsweredBefore as before:
                answer = before.answer
                return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
            except RequestValidationError:
                await _settle(request, None)
                raise
            except HTTPException as error:
                response = of_exception(request, error)
            except BaseException:
                await _settle(request, None)
                raise
            await _settle(request, response)
            return response

        return handle


def _claim(gateway: Gateway, caller: Caller, key: str, print_: bytes) -> Claim:
    seconds = gateway.settings.sending.answer_within_seconds
    actor = f"{caller.actor.kind}:{caller.actor.id or caller.actor.name}"
    try:
        with gateway.acting_for(caller.organization_id) as connection:
            found = answers.claim(connection, caller.organization_id, actor, key, print_, lost_after=seconds)
    except answers.OtherContent as error:
        detail = "the Idempotency-Key was used before, for another request; use a new key for a new request"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "idempotency_key_reused", detail) from error
    except answers.StillRunning as error:
        detail = "the first request with this Idempotency-Key is still running; ask again in a moment"
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise Problem(status.HTTP_409_CONFLICT, "request_running", detail, headers=headers) from error
    if isinstance(found, Answer):
        raise _AnsweredBefore(found)
    return found


async def _settle(request: Request, response: Response | None) -> None:
    """Keep the answer to a request that has a claim, or free its key."""
    claimed: Claim | None = getattr(request.state, "claim", None)
    if claimed is not None:
        gateway: Gateway = request.app.state.gateway
        await run_in_threadpool(_keep_or_free, gateway, claimed, response)


def _keep_or_free(gateway: Gateway, claimed: Claim, response: Response | None) -> None:
    try:
        with gateway.acting_for(claimed.organization_id) as connection:
            if response is None or not is_kept(response.status_code):
                answers.free(connection, claimed)
                return
            headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            answer = Answer(status=response.status_code, headers=headers, body=bytes(response.body))
            answers.keep(connection, claimed, answer)
    except Retryable as error:  # what was done is done; the key counts as lost after a while
        log.warning("an answer is not kept", reason=str(error))
