"""What object stores tell, in each of their forms, and what hostile ones send."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingest_gateway.s3_events import BadEvent, Kind, S3Event, is_older, read

EVENT = S3Event(
    kind=Kind.CREATED,
    bucket="landing",
    key="acme/a.csv",
    key_as_written="acme/a.csv",
    etag="d41d8cd98f00b204e9800998ecf8427e",
    size=7,
    sequencer="0055AED6DCD90281E5",
)
OBJECT = {"key": EVENT.key, "size": 7, "eTag": EVENT.etag, "sequencer": EVENT.sequencer}


def record(name: str = "ObjectCreated:Put", **changes: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"bucket": {"name": "landing"}, "object": {**OBJECT, **changes}},
    }


def plain(*records: Any) -> bytes:
    return json.dumps({"Records": records}).encode()


def bridged(detail_type: str = "Object Created", **changes: Any) -> bytes:
    object_ = {"key": EVENT.key, "size": 7, "etag": EVENT.etag, "sequencer": EVENT.sequencer, **changes}
    detail = {"version": "0", "bucket": {"name": "landing"}, "object": object_, "reason": "PutObject"}
    return json.dumps({"version": "0", "detail-type": detail_type, "source": "aws.s3", "detail": detail}).encode()


@pytest.mark.parametrize(
    "body",
    [
        plain(record()),
        plain(record("s3:ObjectCreated:Put")),
        plain(record("ObjectCreated:CompleteMultipartUpload", eTag=f'"{EVENT.etag}"', versionId="null")),
        bridged(),
        bridged(**{"version-id": ""}),
    ],
)
def test_each_form_says_the_same(body: bytes) -> None:
    assert read(body) == (EVENT,)


def test_a_version_is_read() -> None:
    (one,) = read(plain(record(versionId="v1")))
    (other,) = read(bridged(**{"version-id": "v1"}))
    assert one == other == replace(EVENT, version_id="v1")


def test_all_but_bucket_and_key_may_be_left_out() -> None:
    (event,) = read(plain(record(size=None, eTag=None, sequencer=None)))
    assert event == replace(EVENT, size=None, etag=None, sequencer=None)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("acme/a+b.csv", "acme/a b.csv"),
        ("acme/a%2Bb%2Fc.csv", "acme/a+b/c.csv"),
        ("acme/M%C3%A4rz.csv", "acme/März.csv"),
        ("acme/März.csv", "acme/März.csv"),
        ("acme/100%.csv", "acme/100%.csv"),
        ("acme/%ff.csv", "acme/%ff.csv"),
        ("acme/a%252Fb", "acme/a%2Fb"),
        ("acme/..a/b..", "acme/..a/b.."),
    ],
)
def test_keys_are_decoded_and_kept_as_written(written: str, key: str) -> None:
    (event,) = read(plain(record(key=written)))
    assert (event.key, event.key_as_written) == (key, written)


def test_keys_of_eventbridge_are_as_they_are() -> None:
    (event,) = read(bridged(key="acme/a+b%2Fc"))
    assert (event.key, event.key_as_written) == ("acme/a+b%2Fc", "acme/a+b%2Fc")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"}).encode(), Kind.TEST),
        (plain(record("ObjectRemoved:Delete")), Kind.OTHER),
        (plain({"eventName": "ObjectTagging:Put"}), Kind.OTHER),
        (bridged("Object Deleted"), Kind.OTHER),
        (plain(record(key="acme/")), Kind.OTHER),
        (plain(record(key="acme%2F")), Kind.OTHER),
        (bridged(key="acme/2026/"), Kind.OTHER),
    ],
)
def test_what_is_no_new_object_is_told_apart(body: bytes, kind: Kind) -> None:
    assert [event.kind for event in read(body)] == [kind]


def test_many_records_keep_their_order() -> None:
    keys = [f"acme/{number}" for number in range(1_000)]
    assert [event.key for event in read(plain(*(record(key=key) for key in keys)))] == keys


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"Records":' * 100_000, "not a JSON object"),
        (b"[" * 500_000, "not a JSON object"),
        (b"{}", "neither Records"),
        (b'{"Records": {}}', "neither Records"),
        (b'{"source": "aws.ec2", "detail": {}}', "neither Records"),
        (plain(*[record()] * 1_001), "1001 events"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else value,
)
def test_what_is_none_of_a_stores_is_told(body: bytes, said: str) -> None:
    with pytest.raises(BadEvent, match=said):
        read(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (plain(7), "no eventName"),
        (plain({"eventName": 7}), "no eventName"),
        (plain({"eventName": "ObjectCreated:Put"}), "s3: Field required"),
        (plain({**record(), "s3": []}), "s3"),
        (plain(record(key=7)), "s3.object.key"),
        (plain(record(key="")), "s3.object.key"),
        (plain(record(key="x" * 4_000)), "s3.object.key"),
        (plain(record(size="7")), "s3.object.size"),
        (plain(record(size=-1)), "s3.object.size"),
        (plain(record(eTag=["x"])), "s3.object.eTag"),
        (plain(record(eTag="x" * 201)), "s3.object.eTag"),
        (plain(record(sequencer="zz")), "s3.object.sequencer"),
        (plain(record(sequencer="0" * 65)), "s3.object.sequencer"),
        (plain(record(key="acme/../hill/a.csv")), "between its slashes"),
        (plain(record(key="acme/..%2Fhill/a.csv")), "between its slashes"),
        (plain(record(key="./a.csv")), "between its slashes"),
        (plain(record(key="a%00b")), "NUL"),
        (plain(record(key="acme/line%0Aend")), "control character"),
        (plain(record(key="acme//a.csv")), "between its slashes"),
        (plain(record(key="acme/" + "x" * 256)), "more than 255 characters"),
        (plain(record(key="x/" * 512 + "x")), "more than 1024 bytes"),
        (plain(record(key="\ud800")), "s3.object.key"),
        (plain({**record(), "s3": {"bucket": {"name": "a/b"}, "object": OBJECT}}), "s3.bucket.name"),
        (bridged(key="a/../b"), "between its slashes"),
        (bridged(key=None), "detail.object.key"),
        (b'{"source": "aws.s3", "detail-type": "Object Created", "detail": 7}', "detail"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else value,
)
def test_what_cannot_be_read_is_told_without_its_values(body: bytes, said: str) -> None:
    (event,) = read(body)
    assert event == S3Event(kind=Kind.BAD, fault=event.fault)
    assert event.fault
    assert said in event.fault
    assert len(event.fault) < 1_000
    assert "hill" not in event.fault


def test_a_record_that_cannot_be_read_costs_only_itself() -> None:
    kinds = [event.kind for event in read(plain(record(), record(key=7), record()))]
    assert kinds == [Kind.CREATED, Kind.BAD, Kind.CREATED]


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("1", "2", True),
        ("2", "1", False),
        ("1", "1", False),
        ("9", "10", True),
        ("A", "9", False),
        ("a", "B", True),
        ("00FF", "ff", False),
        ("FF", "0100", True),
        (None, "1", False),
        ("1", None, False),
        ("", "1", False),
    ],
)
def test_sequencers_compare_as_numbers_of_equal_length(one: str | None, other: str | None, *, older: bool) -> None:
    assert is_older(one, other) is older
