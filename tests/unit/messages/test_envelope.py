"""The headers that every message carries, from the first request to the last row."""

from datetime import datetime
from uuid import UUID

import pytest

from rowstream.errors import Poison
from rowstream.messages.envelope import Envelope, child_span, headers_as_text, new_traceparent

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIRST = Envelope.new(
    "upload_accepted", source="gateway", organization_id=UUID(int=7), correlation_id="abc", traceparent=TRACE
)


def test_headers_are_those_of_cloud_events_and_trace_context() -> None:
    headers = FIRST.headers()
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_type"] == "rowstream.upload_accepted"
    assert headers["ce_source"] == "gateway"
    assert headers["content-type"] == "application/avro"
    assert headers["ce_organization"] == str(UUID(int=7))
    assert UUID(headers["ce_id"]).version == 7
    assert datetime.fromisoformat(headers["ce_time"]).utcoffset() is not None


def test_what_is_written_is_read() -> None:
    assert Envelope.read(FIRST.headers()) == FIRST


def test_what_follows_belongs_to_the_same_request_as_a_span_of_its_own() -> None:
    following = FIRST.next("record_chunk", source="splitter", id_="stable")
    assert following.id == "stable"
    assert following.type == "rowstream.record_chunk"
    assert (following.organization_id, following.correlation_id) == (UUID(int=7), "abc")
    version, trace, span, flags = following.traceparent.split("-")
    assert (version, trace, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "01")
    assert span not in (TRACE.split("-")[2], FIRST.traceparent.split("-")[2])


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_time", "ce_organization", "traceparent"])
def test_a_missing_header_is_poison_and_named(name: str) -> None:
    headers = FIRST.headers()
    del headers[name]
    with pytest.raises(Poison, match=f"no header {name}"):
        Envelope.read(headers)


def test_an_organization_that_is_none_is_poison() -> None:
    with pytest.raises(Poison, match="ce_organization"):
        Envelope.read(FIRST.headers() | {"ce_organization": "acme"})


@pytest.mark.parametrize("broken", ["", "00-1-2-3", TRACE.upper(), TRACE + "-x", "ff" + TRACE[2:], TRACE[:-1]])
def test_a_malformed_trace_is_begun_anew(broken: str) -> None:
    fresh = child_span(broken)
    assert child_span(fresh).split("-")[1] == fresh.split("-")[1]
    assert fresh.split("-")[1] != TRACE.split("-")[1]


def test_traces_differ() -> None:
    assert len({new_traceparent() for _ in range(100)}) == 100


def test_headers_of_strangers_do_no_harm() -> None:
    pairs = [("a", b"1"), ("b", None), ("c", b"\xff\xfe"), ("a", b"2")]
    assert headers_as_text(pairs) == {"a": "2", "b": "", "c": "\ufffd\ufffd"}
