"""Requests with an Idempotency-Key: begun under it, their answers kept to be given again, sealed where need be."""

import hashlib
from dataclasses import dataclass, replace
from uuid import UUID

from fastapi import Request, Response
from starlette import status
from starlette.concurrency import run_in_threadpool

from ingest_gateway import answers
from ingest_gateway.access import seals
from ingest_gateway.access.caller import Caller
from ingest_gateway.answers import Answer, Claim
from ingest_gateway.gateway import Gateway
from ingest_gateway.problems import RETRY_AFTER_SECONDS, Problem
from rowstream.errors import Retryable
from rowstream.runtime.logging import get_logger
from rowstream.runtime.secrets import Secrets

log = get_logger(__name__)

_PURPOSE = "kept-answers"
_KEPT_HEADERS = ("content-type", "location", "www-authenticate", "allow")
_MAY_SUCCEED_LATER = frozenset(
    {status.HTTP_408_REQUEST_TIMEOUT, status.HTTP_409_CONFLICT, status.HTTP_429_TOO_MANY_REQUESTS}
)


@dataclass(frozen=True, slots=True)
class _Running:
    """A request that runs under a key; with secrets, its answer is kept sealed."""

    claim: Claim
    secrets: Secrets | None


class AnsweredBefore(Exception):
    """No error: how a dependency answers in place of its operation."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def fingerprint(request: Request, body: bytes) -> bytes:
    """What tells another request from the same: 32 bytes of method, path, query and body."""
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + body).digest()


def is_kept(code: int) -> bool:
    """Whether an answer with this status is given again; others free their key."""
    return code < status.HTTP_500_INTERNAL_SERVER_ERROR and code not in _MAY_SUCCEED_LATER


async def begin(request: Request, gateway: Gateway, key: str, secrets: Secrets | None) -> None:
    """Begin a request of the caller's under a key; with secrets, its answer is kept sealed.

    Raises:
        AnsweredBefore: with the answer to the same request.
        Problem: the key was used for another request, the first one runs, or its answer's secrets are gone.
        Retryable: the database does not answer.
    """
    caller: Caller = request.state.caller
    print_ = fingerprint(request, await request.body())
    claimed = await run_in_threadpool(_claim, gateway, caller, key, print_, secrets)
    request.state.running = _Running(claimed, secrets)


def _claim(gateway: Gateway, caller: Caller, key: str, print_: bytes, secrets: Secrets | None) -> Claim:
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
    if isinstance(found, Claim):
        return found
    if secrets is None:
        raise AnsweredBefore(found)
    try:
        body = seals.unseal(found.body.decode(), secrets, _PURPOSE, _name(caller.organization_id, actor, key))
    except seals.NotOurs as error:
        detail = (
            "the first request with this Idempotency-Key was done, but its answer can be read no more, since the"
            " gateway has other secrets now; see what there is, and use a new key for a new request"
        )
        raise Problem(status.HTTP_409_CONFLICT, "answer_unreadable", detail) from error
    raise AnsweredBefore(replace(found, body=body))


def _name(organization_id: UUID, actor: str, key: str) -> str:
    """What the answer to a request is sealed for."""
    return f"{organization_id} {actor} {key}"


async def settle(request: Request, response: Response | None) -> None:
    """Keep the answer to a request that runs under a key, or free the key."""
    running: _Running | None = getattr(request.state, "running", None)
    if running is not None:
        gateway: Gateway = request.app.state.gateway
        await run_in_threadpool(_keep_or_free, gateway, running, response)


def _keep_or_free(gateway: Gateway, running: _Running, response: Response | None) -> None:
    claimed = running.claim
    try:
        with gateway.acting_for(claimed.organization_id) as connection:
            if response is None or not is_kept(response.status_code):
                answers.free(connection, claimed)
                return
            headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            answer = Answer(status=response.status_code, headers=headers, body=_kept(running, bytes(response.body)))
            answers.keep(connection, claimed, answer)
    except Retryable as error:  # what was done is done; the key counts as lost after a while
        log.warning("an answer is not kept", reason=str(error))


def _kept(running: _Running, body: bytes) -> bytes:
    claimed = running.claim
    if running.secrets is None:
        return body
    name = _name(claimed.organization_id, claimed.actor, claimed.key)
    return seals.seal(body, running.secrets, _PURPOSE, name).encode()
