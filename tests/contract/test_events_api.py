"""Events of object stores over HTTP: with a key, and signed by SNS."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from ingest_gateway.sns import Sns
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.s3 import S3Store
from tests import gateways, servers
from tests.sns import TOPIC, Signer, notification, subscription

TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": servers.BUCKET}


@dataclass
class Door:
    """A gateway's web application, and what knocks at it."""

    client: httpx.Client
    signer: Signer
    store: S3Store
    url: str
    folder: str

    def put(self, key: str) -> dict[str, Any]:
        """Store an object; the notification that tells of it."""
        etag = self.store.put(servers.BUCKET, self.folder + key, io.BytesIO(b"abc")).etag
        return self.tell(key, etag)

    def tell(self, key: str, etag: str = "0" * 32) -> dict[str, Any]:
        stored = {
            "bucket": {"name": servers.BUCKET},
            "object": {"key": self.folder + key, "eTag": etag, "sequencer": "1A"},
        }
        return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": stored}]}

    def key(self, name: str = "default") -> dict[str, str]:
        """The header with a new key of an organization."""
        with psycopg.connect(self.url) as connection:
            ((organization_id,),) = connection.execute("SELECT id FROM organizations WHERE name = %s", [name])
        return {"Authorization": f"Bearer {gateways.new_key(self.url, organization_id)}"}

    def rows(self) -> list[tuple[Any, ...]]:
        query = "SELECT organization_id, s3_key, source_type, created_by_kind FROM batch_uploads ORDER BY created_at"
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(query).fetchall()
        return [(row[0], row[1].replace(self.folder, ""), *row[2:]) for row in rows]


@pytest.fixture
def door(database_url: str, object_store: servers.Server, tmp_path: Path) -> Iterator[Door]:
    folder = f"{uuid4()}/"
    servers.make_organization(database_url, "hill")
    tables = (
        f"[[s3]]\nname = '{name}'\norganization = '{name}'\nrecord_type = 'member_certification'\n"
        f"bucket = '{servers.BUCKET}'\nprefix = '{folder}{name}/'\n"
        for name in ("default", "hill")
    )
    (tmp_path / "sources.toml").write_text("".join(tables))
    settings = gateways.gateway_settings(
        database_url,
        servers.storage_settings(object_store),
        sources_file=tmp_path / "sources.toml",
        sns_topics=f"{TOPIC}, arn:aws:sns:eu-west-1:123456789012:more",
        max_upload_bytes=10,
    )
    signer = Signer.new()

    def believe(app: FastAPI) -> None:
        app.state.sns = Sns(settings.gateway.allowed_sns_topics, signer.get)

    with gateways.serving(settings, believe) as address, gateways.client_of(address, None) as client:
        yield Door(client, signer, servers.store_of(object_store), database_url, folder)


def heard(taken: int = 0, ignored: int = 0, refused: int = 0) -> dict[str, int]:
    return {"taken": taken, "ignored": ignored, "refused": refused}


def counts(answer: Any) -> dict[str, int]:
    return {name: count for name, count in answer.json().items() if name != "reasons"}


def test_a_notification_with_a_key_becomes_an_upload_once(door: Door) -> None:
    told, key = door.put("default/a.csv"), door.key()
    answers = [door.client.post("/events/s3", json=told, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert [counts(answer) for answer in answers] == [heard(taken=1), heard(ignored=1)]
    assert door.rows() == [(DEFAULT_ORGANIZATION, "default/a.csv", "s3_event", "key")]


def test_an_event_of_eventbridge_becomes_an_upload(door: Door) -> None:
    key = "default/a+b.csv"
    door.put(key)
    detail = {"bucket": {"name": servers.BUCKET}, "object": {"key": door.folder + key, "sequencer": "1"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    assert counts(door.client.post("/events/s3", json=event, headers=door.key())) == heard(taken=1)
    assert door.rows()[0][1] == key


def test_a_key_tells_of_nothing_of_others(door: Door) -> None:
    """As of a prefix that is nobody's: nobody learns whose it is."""
    answers = [
        door.client.post("/events/s3", json=told, headers=door.key())
        for told in (door.put("hill/a.csv"), door.put("nobody/a.csv"), door.tell("hill/none.csv"))
    ]
    assert [(answer.status_code, counts(answer)) for answer in answers] == [(202, heard(ignored=1))] * 3
    assert door.rows() == []


def test_without_a_key_nothing_is_heard(door: Door) -> None:
    told = door.put("default/a.csv")
    assert door.client.post("/events/s3", json=told).status_code == 401
    assert door.rows() == []


def test_a_test_is_answered_200(door: Door) -> None:
    answer = door.client.post("/events/s3", json=TEST_EVENT, headers=door.key())
    assert (answer.status_code, counts(answer)) == (200, heard(ignored=1))


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b"[" * 60_000, b'{"Records": 7}'])
def test_what_is_no_event_is_a_problem(door: Door, body: bytes) -> None:
    answer = door.client.post("/events/s3", content=body, headers=door.key())
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:rowstream:problem:no_s3_event")


def test_a_body_without_end_is_refused(door: Door) -> None:
    for path, headers in (("/events/s3", door.key()), ("/events/sns", {})):
        assert door.client.post(path, content=b" " * 70_000, headers=headers).status_code == 413


def test_what_may_not_be_taken_is_counted_with_its_reason(door: Door) -> None:
    told, key = door.put("default/a.csv"), door.key()
    with psycopg.connect(door.url) as connection:
        connection.execute("UPDATE organizations SET max_upload_bytes = 2")
    answer = door.client.post("/events/s3", json=told, headers=key)
    assert (answer.status_code, counts(answer)) == (202, heard(refused=1))
    assert "at most 2" in answer.json()["reasons"][0]


def test_what_no_file_is_called_is_answered_for_good(door: Door) -> None:
    key, told = door.key(), [door.tell(f"default/{name}") for name in ("", "in/", "x" * 300, "in//a.csv")]
    answers = [door.client.post("/events/s3", json=each, headers=key) for each in told]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert [counts(answer) for answer in answers] == [*[heard(ignored=1)] * 2, *[heard(refused=1)] * 2]
    assert "more than 255 characters" in answers[2].json()["reasons"][0]


def test_what_a_quota_refuses_for_now_is_to_be_told_again(door: Door) -> None:
    first, second, key = door.put("default/a.csv"), door.put("default/b.csv"), door.key()
    with psycopg.connect(door.url) as connection:
        connection.execute("UPDATE organizations SET max_open_uploads = 1")
    both = {"Records": first["Records"] + second["Records"]}
    answer = door.client.post("/events/s3", json=both, headers=key)
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:rowstream:problem:over_quota")
    assert int(answer.headers["Retry-After"]) > 0
    with psycopg.connect(door.url) as connection:
        connection.execute("UPDATE organizations SET max_open_uploads = NULL")
    assert counts(door.client.post("/events/s3", json=both, headers=key)) == heard(taken=1, ignored=1)


def test_a_signed_message_becomes_an_upload_once(door: Door) -> None:
    body = door.signer.sign(notification(json.dumps(door.put("hill/a.csv")), Subject="Amazon S3 Notification"), "2")
    headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    answers = [door.client.post("/events/sns", content=body, headers=headers) for _ in range(2)]
    assert [(answer.status_code, counts(answer)) for answer in answers] == [
        (202, heard(taken=1)),
        (202, heard(ignored=1)),
    ]
    ((_, key, *way),) = door.rows()
    assert (key, *way) == ("hill/a.csv", "s3_event", "system")


def test_a_subscription_is_confirmed(door: Door) -> None:
    said = subscription()
    assert door.client.post("/events/sns", content=door.signer.sign(said)).status_code == 200
    assert door.signer.fetched[-1] == said["SubscribeURL"]
    gone = {**said, "Type": "UnsubscribeConfirmation"}
    assert door.client.post("/events/sns", content=door.signer.sign(gone)).status_code == 200
    assert door.signer.fetched.count(said["SubscribeURL"]) == 1


def test_a_test_by_sns_is_answered_200(door: Door) -> None:
    answer = door.client.post("/events/sns", content=door.signer.sign(notification(json.dumps(TEST_EVENT))))
    assert answer.status_code == 200


def test_what_nobody_signed_is_not_believed(door: Door) -> None:
    told = door.put("hill/a.csv")
    forged = json.loads(door.signer.sign(notification("{}"))) | {"Message": json.dumps(told)}
    theirs = json.loads(door.signer.sign(notification(json.dumps(told), TopicArn=TOPIC + "2")))
    elsewhere = {"SubscribeURL": "http://169.254.169.254/latest?Action=ConfirmSubscription"}
    hostile = [
        told,
        forged,
        theirs,
        json.loads(door.signer.sign(subscription(**elsewhere))),
        {**forged, "SigningCertURL": "http://169.254.169.254/x.pem"},
    ]
    for said in hostile:
        answer = door.client.post("/events/sns", json=said)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:rowstream:problem:not_of_sns")
    assert door.rows() == []
    assert not [url for url in door.signer.fetched if "169.254" in url]


def test_a_signed_message_that_is_no_event_is_a_problem(door: Door) -> None:
    answer = door.client.post("/events/sns", content=door.signer.sign(notification("hello")))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:rowstream:problem:no_s3_event")
