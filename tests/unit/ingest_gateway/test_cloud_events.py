import base64
import json
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

import pytest

from ingest_gateway.arrivals.cloud_events import TYPE, Asked, BadRequest, Name, named, read
from rowstream.errors import Poison
from rowstream.messages import codec
from rowstream.messages.codec import UnknownSchema
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.messages.upload_request import UploadRequest

ORGANIZATION = UUID("0198c0de-0000-7000-8000-00000000000a")
REQUEST = UploadRequest(
    record_type="member_certification", bucket="landing", key="in/a.csv", filename="a.csv", etag="e", version_id="v"
)
DATA = {each.name: getattr(REQUEST, each.name) for each in fields(REQUEST)}
ATTRIBUTES = {"specversion": "1.0", "id": "e1", "source": "//crm/exports", "type": TYPE}
CORRELATION, TRACE = "c-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@dataclass(frozen=True)
class Message:
    value: bytes
    headers: dict[str, str] = field(default_factory=dict)


def binary(data: bytes, content_type: str, **attributes: str) -> Message:
    headers = {f"ce_{name}": value for name, value in {**ATTRIBUTES, **attributes}.items()}
    return Message(data, {**headers, "content-type": content_type})


def structured(content_type: str | None = "application/cloudevents+json; charset=utf-8", **members: Any) -> Message:
    event = {**ATTRIBUTES, "data": DATA, **members}
    kept = {name: value for name, value in event.items() if value is not None}
    return Message(json.dumps(kept).encode(), {"content-type": content_type} if content_type else {})


JSON_DATA = json.dumps(DATA).encode()
OURS = {"organization": str(ORGANIZATION)}


@pytest.mark.parametrize(
    "message",
    [
        binary(JSON_DATA, "application/json", **OURS),
        binary(codec.encode(REQUEST), "application/avro", **OURS),
        structured(**OURS),
        structured(None, **OURS),
        structured(data=None, data_base64=base64.b64encode(JSON_DATA).decode(), **OURS),
        structured(data=None, data_base64=base64.b64encode(codec.encode(REQUEST)).decode(), **OURS),
        Message(JSON_DATA, {f"CE_{name}": value for name, value in {**ATTRIBUTES, **OURS}.items()}),
    ],
    ids=["binary", "avro", "structured", "bare", "base64", "base64 avro", "header case"],
)
def test_each_form_says_the_same(message: Message) -> None:
    assert read(message) == Asked(
        source="//crm/exports",
        event_id="e1",
        organization_id=ORGANIZATION,
        correlation_id=None,
        traceparent="",
        request=REQUEST,
    )


def test_what_may_be_left_out_may_be_left_out() -> None:
    asked = read(structured(data={"record_type": "t", "bucket": "b", "key": "k"}))
    assert asked.organization_id is None
    assert asked.request == UploadRequest(record_type="t", bucket="b", key="k")


@pytest.mark.parametrize("name", ["id", "source"])
def test_an_attribute_is_as_long_as_an_index_takes_it(name: str) -> None:
    assert read(structured(**{name: "\u20ac" * 341}))  # 1,023 bytes
    with pytest.raises(BadRequest, match="more than 1024 bytes"):
        read(structured(**{name: "\u20ac" * 342}))


def test_what_is_not_known_is_ignored() -> None:
    assert read(structured(data={**DATA, "more": 1}, subject="x", dataschema="y")).request == REQUEST


@pytest.mark.parametrize(
    "message",
    [
        structured(correlationid=CORRELATION, traceparent=TRACE),
        binary(JSON_DATA, "application/json", correlationid=CORRELATION, traceparent=TRACE),
        Message(
            JSON_DATA,
            {**binary(JSON_DATA, "application/json").headers, "correlation_id": CORRELATION, "traceparent": TRACE},
        ),
    ],
    ids=["structured", "binary", "our own headers"],
)
def test_the_trace_and_the_correlation_id_are_read(message: Message) -> None:
    asked = read(message)
    assert (asked.correlation_id, asked.traceparent) == (CORRELATION, TRACE)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Message(b""), "not a JSON object"),
        (Message(b"\xff\x00"), "not a JSON object"),
        (Message(b"[" * 5_000), "not a JSON object"),
        (Message(b"[]"), "not a JSON object"),
        (Message(codec.encode(REQUEST)), "no CloudEvents headers"),
        (Message(JSON_DATA), "no data"),
        (structured(specversion=None), "no specversion"),
        (structured(specversion="0.3"), "'0.3'"),
        (structured(id=None), "the attribute id"),
        (structured(id=""), "the attribute id"),
        (structured(id="a\nb"), "the attribute id"),
        (structured(source=None), "the attribute source"),
        (structured(source="x" * 2_000), "the attribute source"),
        (structured(type="other.type"), "'other.type'"),
        (structured(organization="acme"), "the attribute organization"),
        (structured(data=None), "no data"),
        (structured(data=[1]), "no data"),
        (structured(data=None, data_base64="%"), "base64"),
        (structured(data=None, data_base64=7), "base64"),
        (structured(data={**DATA, "bucket": None}), "the field bucket"),
        (structured(data={"bucket": "b", "key": "k"}), "the field record_type"),
        (structured(data={**DATA, "key": 7}), "the field key"),
        (structured(data={**DATA, "key": ""}), "the field key"),
        (binary(b"no json", "application/json"), "the data is not a JSON object"),
        (binary(b"", "application/json"), "the data is not a JSON object"),
    ],
)
def test_a_request_that_cannot_be_understood_is_told_why(message: Message, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        read(message)


def test_the_values_themselves_stay_out_of_what_is_said() -> None:
    with pytest.raises(BadRequest) as caught:
        read(structured(data={**DATA, "key": {"secret": "cell"}}))
    assert "cell" not in str(caught.value)


def test_another_avro_message_is_refused() -> None:
    other = codec.encode(
        UploadAccepted(upload_id=ORGANIZATION, organization_id=ORGANIZATION, attempt=1, record_type="t")
    )

    class Store:
        def find(self, _: bytes) -> codec.Schema:
            return codec.contract("UploadAccepted").schema

    with pytest.raises(Poison, match="expected a UploadRequest"):
        read(binary(other, "application/avro"), Store())
    with pytest.raises(UnknownSchema):
        read(binary(other, "application/avro"))


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (
            structured(correlationid="c-1", data=7),
            Name(source="//crm/exports", event_id="e1", correlation_id="c-1", traceparent=""),
        ),
        (
            binary(b"no json", "application/json"),
            Name(source="//crm/exports", event_id="e1", correlation_id=None, traceparent=""),
        ),
        (structured(id=7, source="x" * 2_000), Name(source=None, event_id=None, correlation_id=None, traceparent="")),
        (structured(id="a\nb"), Name(source="//crm/exports", event_id=None, correlation_id=None, traceparent="")),
        (
            Message(b"\xff", {"correlation_id": "c-2"}),
            Name(source=None, event_id=None, correlation_id="c-2", traceparent=""),
        ),
        (Message(b"[" * 100_000), Name(source=None, event_id=None, correlation_id=None, traceparent="")),
    ],
    ids=["structured", "binary", "wrong types", "a line end", "no JSON", "deep"],
)
def test_however_little_can_be_read_it_has_a_name(message: Message, name: Name) -> None:
    assert named(message) == name
