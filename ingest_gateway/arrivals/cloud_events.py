"""Reads a request to take in an object from a Kafka message: CloudEvents 1.0, in any of its forms. Pure.

Binary mode has the attributes in `ce_*` headers and the data as the value, structured mode has both in one JSON
object. The data is JSON, or an `UploadRequest` in Avro's single-object encoding.
Sources: CloudEvents 1.0.2, its JSON format, its Kafka protocol binding.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from rowstream.errors import Poison
from rowstream.messages import codec
from rowstream.messages.upload_request import UploadRequest

TYPE = "rowstream.upload_requested"
_STRUCTURED = "application/cloudevents+json"
_LONGEST = 1_024  # bytes of UTF-8: two of them, a source and an id, fit into an entry of an index


def _not_too_long(text: str) -> str:
    if len(text.encode()) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} bytes")
    return text


_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$"), AfterValidator(_not_too_long)]

_TEXT: TypeAdapter[str] = TypeAdapter(_Text)
M = TypeVar("M", bound=BaseModel)


class BadRequest(Poison):
    """The message cannot be understood, or asks for what cannot be done; says what, and how it should be."""


class SomeMessage(Protocol):
    """What is read of a Kafka message."""

    @property
    def value(self) -> bytes:
        """The body."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers as text."""


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="ignore")

    specversion: _Text
    id: _Text
    source: _Text
    type: _Text
    organization: UUID | None = None
    datacontenttype: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")

    record_type: _Text
    bucket: _Text
    key: _Text
    filename: str | None = None
    etag: _Text | None = None
    version_id: _Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that can be understood; (organization, source, event id) names it."""

    source: str
    event_id: str
    organization_id: UUID | None
    correlation_id: str | None
    traceparent: str
    request: UploadRequest


def read(message: SomeMessage, store: codec.SchemaStore | None = None) -> Asked:
    """The request in a message.

    Raises:
        BadRequest: it cannot be understood; names the attribute or field and what it should be.
        Retryable: the Avro schema that it was written with is not known yet.
    """
    headers = {name.lower(): value for name, value in message.headers.items()}
    said, data = _parts(message.value, headers)
    attributes = _attributes(said)
    return Asked(
        source=attributes.source,
        event_id=attributes.id,
        organization_id=attributes.organization,
        correlation_id=attributes.correlationid or headers.get("correlation_id"),
        traceparent=attributes.traceparent or headers.get("traceparent", ""),
        request=_request(data, store),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a message calls itself, as far as that can be read; for the answer to one that is refused."""

    source: str | None
    event_id: str | None
    correlation_id: str | None
    traceparent: str


def named(message: SomeMessage) -> Name:
    """What a message calls itself, however little of it can be read."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    try:
        said: Mapping[str, Any] = _attributes_said(message.value, headers)
    except BadRequest:
        said = {}
    return Name(
        source=_text_of(said.get("source")),
        event_id=_text_of(said.get("id")),
        correlation_id=_text_of(said.get("correlationid")) or headers.get("correlation_id"),
        traceparent=_text_of(said.get("traceparent")) or headers.get("traceparent", ""),
    )


def _text_of(said: object) -> str | None:
    try:
        return _TEXT.validate_python(said)
    except ValidationError:
        return None


def _attributes_said(value: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The attributes, unchecked; in structured mode the data is among them."""
    if _is_binary(headers):
        return {name[3:]: text for name, text in headers.items() if name.startswith("ce_")}
    return _json_object(value, "the message has no CloudEvents headers (ce_id, ce_source, ...) and")


def _is_binary(headers: Mapping[str, str]) -> bool:
    structured = headers.get("content-type", "").startswith(_STRUCTURED)
    return not structured and any(name.startswith("ce_") for name in headers)


def _parts(value: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], bytes | Mapping[str, Any]]:
    """The attributes and the data, which is bytes or a JSON object already."""
    event = _attributes_said(value, headers)
    if _is_binary(headers):
        return event, value
    if "data_base64" in event:
        try:
            return event, base64.b64decode(event["data_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise BadRequest("data_base64 is not base64") from error
    data = event.get("data")
    if not isinstance(data, dict):
        raise BadRequest("the event has no data; it should be an object with record_type, bucket and key")
    return event, data


def _attributes(said: Mapping[str, Any]) -> _Attributes:
    if "specversion" not in said:
        raise BadRequest("the message is no CloudEvent: it has no specversion")
    attributes = _valid(_Attributes, said, "the attribute")
    if attributes.specversion != "1.0":
        raise BadRequest(f"the event is CloudEvents {attributes.specversion[:20]!r}, this reads 1.0")
    if attributes.type != TYPE:
        raise BadRequest(f"the event's type is {attributes.type[:100]!r}, this topic takes {TYPE!r}")
    return attributes


def _request(data: bytes | Mapping[str, Any], store: codec.SchemaStore | None) -> UploadRequest:
    if isinstance(data, bytes):
        if data.startswith(codec.MARKER):
            avro = codec.decode(data, UploadRequest, store)
            data = {name: getattr(avro, name) for name in UploadRequest.__dataclass_fields__}
        else:
            data = _json_object(data, "the data")
    return UploadRequest(**_valid(_Data, data, "the field").model_dump())


def _json_object(value: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"{what} is not a JSON object")
    return found


def _valid(kind: type[M], said: Mapping[str, Any], what: str) -> M:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        faults = (f"{what} {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise BadRequest("; ".join(faults)) from None
