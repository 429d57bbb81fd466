"""What is answered to a request that is refused, whatever it looked like."""

import json

import pytest

from ingest_gateway.arrivals.cloud_events import TYPE, BadRequest
from ingest_gateway.arrivals.replies import NOBODY, refusal
from rowstream.kafka.received import Received
from rowstream.kafka.topics import UPLOAD_REPLIES, UPLOAD_REQUESTS
from rowstream.messages import codec
from rowstream.messages.upload_reply import UploadReply

EVENT = {"specversion": "1.0", "type": TYPE, "source": "//crm", "id": "e1", "correlationid": "c-1"}


def request(value: bytes, key: bytes | None = b"k") -> Received:
    return Received(UPLOAD_REQUESTS, 0, 7, key, value, {"content-type": "application/cloudevents+json"})


def test_a_refusal_names_the_request_and_the_reason() -> None:
    said = refusal(request(json.dumps(EVENT).encode()), BadRequest("the event has no data"))
    assert (said.topic, said.key, said.headers["correlation_id"]) == (UPLOAD_REPLIES, b"e1", "c-1")
    assert said.headers["ce_organization"] == str(NOBODY)
    assert codec.decode(said.value, UploadReply) == UploadReply(
        request_source="//crm",
        request_id="e1",
        outcome="refused",
        upload_id=None,
        reason="the event has no data",
    )


@pytest.mark.parametrize(
    "message",
    [
        request(b"", None),
        request(b"\xff" * 900_000, b"k" * 90_000),
        request(json.dumps({**EVENT, "id": "x" * 500_000, "correlationid": "y" * 400_000}).encode()),
        request(json.dumps({**EVENT, "correlationid": "a\nforged: header"}).encode()),
    ],
    ids=["empty", "huge", "a huge id", "a forged header"],
)
def test_a_refusal_is_small_whatever_the_request(message: Received) -> None:
    said = refusal(message, BadRequest("x" * 100_000))
    assert len(said.value) + len(said.key or b"") + sum(map(len, said.headers.values())) < 10_000
    assert "\n" not in said.headers["correlation_id"]
