"""What object stores tell over HTTP: with a key as S3's notifications or EventBridge's, or signed by SNS.

An event is answered 2xx only when what it tells of is accepted, or need not be: who gets another answer sends it again.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette import status
from starlette.requests import ClientDisconnect

from ingest_gateway import s3_objects
from ingest_gateway.access.caller import MayWriteUploads
from ingest_gateway.gateway import Gateway, TheGateway
from ingest_gateway.problems import Problem, responses
from ingest_gateway.s3_events import BadEvent
from ingest_gateway.s3_objects import Outcome, Teller, Told
from ingest_gateway.sns import Kind, NotOfSns, Sns
from ingest_gateway.sns import read as read_sns
from ingest_gateway.sources import SourcesFile
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import REFUSED

log = get_logger(__name__)

router = APIRouter(prefix="/events", tags=["events"])


def _body_of(*media_types: str) -> dict[str, Any]:
    """What the description says of a body that is read as it comes."""
    content = {media_type: {"schema": {"type": "object"}} for media_type in media_types}
    return {"requestBody": {"required": True, "content": content}}


class Heard(BaseModel):
    """What became of the events in a message."""

    taken: int = Field(description="Objects that became uploads")
    ignored: int = Field(description="Events that need nothing: taken before, gone, of nobody's prefix, no new object")
    refused: int = Field(description="Objects that may not be taken in")
    reasons: list[str] = Field(description="Why those are refused")


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Heard, "description": "It was a test, or a handshake: there was nothing to take"},
    **responses(400, 403, 408, 413, 429, 503),
}


async def raw_body(request: Request) -> bytes:
    """The body as it came.

    Raises:
        Problem: 400, it broke off.
    """
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(status.HTTP_400_BAD_REQUEST, "body_cut", "the body broke off; send it again") from None


async def sources_of(request: Request) -> SourcesFile:
    """The sources file that the application goes by."""
    sources: SourcesFile = request.app.state.sources
    return sources


async def sns_of(request: Request) -> Sns:
    """Who believes messages of SNS."""
    sns: Sns = request.app.state.sns
    return sns


RawBody = Annotated[bytes, Depends(raw_body)]
TheSources = Annotated[SourcesFile, Depends(sources_of)]


@router.post(
    "/s3",
    status_code=status.HTTP_202_ACCEPTED,
    responses={**_ANSWERS, **responses(401)},
    openapi_extra=_body_of("application/json"),
    summary="Tell of objects in a bucket: S3's notifications, or EventBridge's events",
)
def hear_s3(
    caller: MayWriteUploads, gateway: TheGateway, sources: TheSources, body: RawBody, response: Response
) -> Heard:
    """Take in the objects that the events tell of, if the sources file has their prefixes for your organization."""
    teller = Teller(
        actor=caller.actor,
        only_for=caller.organization_id,
        address=caller.address,
        correlation_id=caller.correlation_id,
        traceparent=caller.traceparent,
    )
    return _answer(_told(gateway, sources, body, teller), response)


@router.post(
    "/sns",
    status_code=status.HTTP_202_ACCEPTED,
    responses=_ANSWERS,
    openapi_extra=_body_of("text/plain", "application/json"),
    summary="Tell of objects in a bucket by Amazon SNS",
)
def hear_sns(
    request: Request,
    gateway: TheGateway,
    sources: TheSources,
    sns: Annotated[Sns, Depends(sns_of)],
    body: RawBody,
    response: Response,
) -> Heard:
    """Take in the objects that a signed message of an allowed topic tells of; a subscription to one is confirmed.

    There is no key: the signature and the topic's ARN say who sends.
    """
    try:
        message = read_sns(body)
        sns.check(message)
        if message.type is Kind.SUBSCRIPTION:
            sns.confirm(message)
    except NotOfSns as error:
        REFUSED.labels("sns_message").inc()
        log.warning("a message of SNS is not believed", reason=str(error))
        raise Problem(status.HTTP_403_FORBIDDEN, "not_of_sns", str(error)) from error
    if message.type is not Kind.NOTIFICATION:
        log.info("handshake of SNS", type=message.type.value, topic=message.topic)
        response.status_code = status.HTTP_200_OK
        return Heard(taken=0, ignored=0, refused=0, reasons=[])
    state = request.state
    teller = Teller(address=state.address, correlation_id=state.correlation_id, traceparent=state.traceparent)
    return _answer(_told(gateway, sources, message.message.encode(), teller), response)


def _told(gateway: Gateway, sources: SourcesFile, body: bytes, teller: Teller) -> Told:
    try:
        return s3_objects.hear(gateway, sources, body, teller)
    except BadEvent as error:
        raise Problem(status.HTTP_400_BAD_REQUEST, "no_s3_event", str(error)) from error


def _answer(told: Told, response: Response) -> Heard:
    """What became of the events; 200 if they were only tests.

    Raises:
        Problem: 429, some may be taken in later: the whole message is to be sent again.
    """
    outcomes = told.outcomes
    if told.later:
        headers = {"Retry-After": str(told.later)}
        detail = f"{'; '.join(told.reasons)}; send the message again later, what was taken is known"
        raise Problem(status.HTTP_429_TOO_MANY_REQUESTS, "over_quota", detail, headers=headers)
    if outcomes[Outcome.TEST] == outcomes.total():
        response.status_code = status.HTTP_200_OK
    taken, refused = outcomes[Outcome.TAKEN], outcomes[Outcome.REFUSED]
    return Heard(taken=taken, ignored=outcomes.total() - taken - refused, refused=refused, reasons=list(told.reasons))
