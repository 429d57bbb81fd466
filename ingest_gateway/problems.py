"""Every error of the API as problem+json (RFC 9457).

A problem says what happened, to which thing, and what to do now. Its `type` is a name that programs may rely on
(`urn:rowstream:problem:...`); the texts are for people and may change.
"""

import http
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette import status
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from ingest_gateway.quotas import OverQuota
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger
from rowstream.runtime.secrets import NoSecrets

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
_SHOWN_PATH = 200  # characters
_NOT_JSON = "the body cannot be read as JSON"
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}  # as RFC 9110 has them, whatever Python's age


class Problem(HTTPException):
    """An answer that is an error; `more` are further members of its body."""

    def __init__(
        self, code: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(code, detail, headers)
        self.kind = kind
        self.more = more


class FieldFault(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(description="Where: body.size_bytes, query.limit, ...")
    message: str = Field(description="What is wrong with it")


class ProblemBody(BaseModel):
    """An error, as RFC 9457 says: `type` for programs, the texts for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The kind of error; stable")
    title: str = Field(description="The kind of error in words")
    status: int = Field(description="The HTTP status again")
    detail: str = Field(description="What happened, to which thing, and what to do now")
    instance: str = Field(description="The path that was asked for; of a long one the beginning")
    correlation_id: str = Field(description="Finds this request in the logs")
    errors: list[FieldFault] | None = Field(None, description="What is wrong with which part of the request")


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these error statuses of an operation."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    return {
        code: {
            "description": _PHRASES.get(code, http.HTTPStatus(code).phrase),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for code in codes
    }


def answer(
    request: Request,
    code: int,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> JSONResponse:
    """A problem as a response."""
    correlation_id = getattr(request.state, "correlation_id", "")
    body = body_of(code, kind, detail, instance=request.url.path, correlation_id=correlation_id, **more)
    return JSONResponse(body, code, headers, media_type=MEDIA_TYPE)


def body_of(
    code: int, kind: str, detail: str, *, instance: str, correlation_id: str, **more: object
) -> dict[str, object]:
    """What a problem's body says."""
    return {
        "type": f"urn:rowstream:problem:{kind}",
        "title": kind.replace("_", " ").capitalize().replace("json", "JSON").replace("http", "HTTP"),
        "status": code,
        "detail": detail,
        "instance": shown_path(instance),
        "correlation_id": correlation_id,
        **more,
    }


def shown_path(path: str) -> str:
    """A path to be said again: of a long one the beginning."""
    return path if len(path) <= _SHOWN_PATH else f"{path[:_SHOWN_PATH]}..."


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make the app answer every error as a problem; `routes` are all that it has."""

    @app.exception_handler(HTTPException)
    def _(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == status.HTTP_405_METHOD_NOT_ALLOWED:
            return _not_allowed(request, routes)
        return of_exception(request, error)

    @app.exception_handler(RequestValidationError)
    def _(request: Request, error: RequestValidationError) -> JSONResponse:
        return invalid(request, error.errors())

    @app.exception_handler(Retryable)
    def _(request: Request, error: Retryable) -> JSONResponse:
        return unavailable(request, error)

    @app.exception_handler(OverQuota)
    def _(request: Request, error: OverQuota) -> JSONResponse:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return answer(request, error.status, error.kind, str(error), headers=headers, **dict([error.quota]))

    @app.exception_handler(NoSecrets)
    def _(request: Request, error: NoSecrets) -> JSONResponse:
        return answer(request, status.HTTP_503_SERVICE_UNAVAILABLE, "no_secrets_file", str(error))


def of_exception(request: Request, error: HTTPException) -> JSONResponse:
    """What is answered in place of an operation that raised this."""
    kind, detail, more = _said_by(request, error)
    return answer(request, error.status_code, kind, detail, headers=error.headers, **more)


def unavailable(request: Request, error: Retryable) -> JSONResponse:
    """503: something that the gateway needs is away; the log says what."""
    log.warning("not available", reason=str(error))
    detail = f"the database or the object store does not answer right now; try again in {RETRY_AFTER_SECONDS} seconds"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return answer(request, status.HTTP_503_SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def internal_error(request: Request) -> JSONResponse:
    """500: a fault of ours; its stack trace is in the log under the correlation id."""
    detail = "this is a fault of rowstream; its log has the reason under this correlation id"
    return answer(request, status.HTTP_500_INTERNAL_SERVER_ERROR, "internal_error", detail)


def invalid(request: Request, faults: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """400 for a body that is no JSON, 422 for a request whose parts are not as they should be."""
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request, status.HTTP_400_BAD_REQUEST, "not_json", _NOT_JSON)
    errors = [{"field": ".".join(map(str, fault["loc"])), "message": _message(fault)} for fault in faults]
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
    return answer(request, status.HTTP_422_UNPROCESSABLE_CONTENT, "invalid_request", detail, errors=errors)


def _message(fault: Mapping[str, Any]) -> str:
    """Pydantic's words without a class name; never the value itself."""
    if fault["loc"] == ("body",):
        return "send a JSON object, with the header Content-Type: application/json"
    return re.sub(r"^Value error, ", "", str(fault["msg"]))


def _not_allowed(request: Request, routes: Sequence[BaseRoute]) -> JSONResponse:
    """405 with all that the path takes; the framework names only the first route's methods."""
    there = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    allowed = ", ".join(sorted({method for route in there for method in getattr(route, "methods", ())}))
    detail = f"{shown_path(request.url.path)} does not take {request.method}; it takes {allowed}"
    code = status.HTTP_405_METHOD_NOT_ALLOWED
    return answer(request, code, "method_not_allowed", detail, headers={"Allow": allowed})


def _said_by(request: Request, error: HTTPException) -> tuple[str, str, Mapping[str, object]]:
    if isinstance(error, Problem):
        return error.kind, error.detail, error.more
    match error.status_code:
        case status.HTTP_404_NOT_FOUND:
            return "no_such_path", f"there is nothing at {shown_path(request.url.path)}; /docs lists what there is", {}
        case status.HTTP_400_BAD_REQUEST:  # the framework's word for a body that Python's own reader of JSON gave up on
            return "not_json", _NOT_JSON, {}
        case _:
            return http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), str(error.detail), {}
