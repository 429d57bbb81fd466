"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request again is answered, not done again.

An operation takes `Once` as its parameter behind its caller, and is a route of the class `OnceRoute`. The same key with
the same method, path and body is answered as the first time; with others it is refused (422), and while the first one
runs as well (409). An answer that says that nothing was done and that the same may succeed later is not kept. One that
shows a secret is kept sealed: its operation takes `OnceSealed`.

Operations that make an upload do not need it: there the key names the upload itself.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from ingest_gateway.api.checks import IdempotencyKey
from ingest_gateway.api.kept_answers import AnsweredBefore, begin, settle
from ingest_gateway.gateway import TheGateway
from ingest_gateway.problems import of_exception

REPLAYED = "Idempotent-Replayed"


async def once(request: Request, gateway: TheGateway, key: IdempotencyKey) -> None:
    """Let the operation run only if no other request with its key has run or runs; no key, no question.

    Raises:
        Problem: 422, the key was used for another request; 409, the first one has no answer yet.
        Retryable: the database does not answer.
    """
    if key is not None:
        await begin(request, gateway, key, None)


async def once_sealed(request: Request, gateway: TheGateway, key: IdempotencyKey) -> None:
    """The same as `once`, and the answer is kept sealed.

    Raises:
        Problem: as `once`; 409 also if the answer was sealed with secrets that are gone.
        NoSecrets: there is nothing to seal with.
        Retryable: the database does not answer.
    """
    if key is not None:
        await begin(request, gateway, key, gateway.secrets.current())


Once = Annotated[None, Depends(once)]
OnceSealed = Annotated[None, Depends(once_sealed)]


class OnceRoute(APIRoute):
    """A route whose answers are kept for requests that took `Once`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's own handler, and the keeping around it."""
        run = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await run(request)
            except AnsweredBefore as before:
                answer = before.answer
                return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
            except RequestValidationError:
                await settle(request, None)
                raise
            except HTTPException as error:
                response = of_exception(request, error)
            except BaseException:
                await settle(request, None)
                raise
            await settle(request, response)
            return response

        return handle
