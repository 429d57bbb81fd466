"""Requests by Kafka, from a real topic into a real database, with a real object store."""

import dataclasses
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, text

from ingest_gateway import accept
from ingest_gateway.arrivals.bindings import Bindings
from ingest_gateway.arrivals.cloud_events import TYPE
from ingest_gateway.arrivals.intake import GROUP, Intake
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.schemas import SchemaTable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import DEAD_LETTERS, UPLOAD_REPLIES, UPLOAD_REQUESTS
from rowstream.messages import codec
from rowstream.messages.envelope import headers_as_text
from rowstream.messages.upload_reply import UploadReply
from rowstream.messages.upload_request import UploadRequest
from tests import gateways, servers
from tests.services import kept_going, process_of

Row = tuple[Any, ...]
KEY = "incoming/members.csv"
DATA = {"record_type": "member_certification", "bucket": servers.BUCKET, "key": KEY}


@pytest.fixture(scope="module", autouse=True)
def _stored(object_store: servers.Server) -> None:
    servers.store_of(object_store).put(servers.BUCKET, KEY, io.BytesIO(b"abc"))


@contextmanager
def taking_in(
    url: str,
    bootstrap_servers: str,
    object_store: servers.Server,
    *,
    bound: str = "",
    prefix: str = "",
    **times: float,
) -> Iterator[None]:
    """An intake that runs in a thread.

    `bound` says which sources hand in for whom, `prefix` what their keys begin with then, `times` how long it waits.
    """
    storage = servers.storage_settings(object_store)
    settings = gateways.gateway_settings(url, storage, intake_buckets=servers.BUCKET, max_upload_bytes=1_000)
    settings.sending.reference_prefix = prefix
    kafka = servers.kafka_settings(bootstrap_servers)
    stop = threading.Event()
    with gateways.opened(settings) as gateway:
        schemas = SchemaTable(gateway.engine)
        schemas.register()
        consumer = Consumer(kafka, group=GROUP, topics=[UPLOAD_REQUESTS])
        times = {"delivery_seconds": 5.0, **times}
        intake = Intake(gateway, consumer, Producer(kafka), schemas, bindings=Bindings.read(bound), **times)
        thread = threading.Thread(target=intake.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()


def event(id_: str, data: dict[str, Any] | None = None, **attributes: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": TYPE,
        "source": "//crm/exports",
        "id": id_,
        "data": DATA if data is None else data,
        **attributes,
    }


def send(bootstrap_servers: str, *events: dict[str, Any]) -> None:
    """Publish events in structured mode."""
    producer = Producer(servers.kafka_settings(bootstrap_servers))
    for each in events:
        headers = {"content-type": "application/cloudevents+json"}
        producer.send(UPLOAD_REQUESTS, json.dumps(each).encode(), key=b"one partition", headers=headers)
    assert producer.flush(10) == 0


def rows(url: str, query: str = "SELECT source_event_id FROM batch_uploads ORDER BY 1") -> list[Row]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def dead_letters(bootstrap_servers: str, at_least: int) -> list[dict[str, str]]:
    """The headers of the dead letters."""
    return [
        headers_as_text(cast("list[tuple[str, bytes | None]]", message.headers() or []))
        for message in servers.messages_in(bootstrap_servers, DEAD_LETTERS, at_least)
    ]


def replies(bootstrap_servers: str, at_least: int) -> list[tuple[UploadReply, dict[str, str]]]:
    """The replies sent to the topic itself, which refusals are, with their headers."""
    return [
        (
            codec.decode(message.value() or b"", UploadReply),
            headers_as_text(cast("list[tuple[str, bytes | None]]", message.headers() or [])),
        )
        for message in servers.messages_in(bootstrap_servers, UPLOAD_REPLIES, at_least, seconds=60)
    ]


def stored_replies(url: str) -> list[tuple[UploadReply, dict[str, str]]]:
    """The replies that wait in the outbox, the oldest first."""
    query = "SELECT payload, headers FROM outbox WHERE topic = 'rowstream.upload-replies.v1' ORDER BY created_at"
    return [(codec.decode(payload, UploadReply), headers) for payload, headers in rows(url, query)]


def test_each_form_becomes_an_upload(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    producer = Producer(servers.kafka_settings(own_broker.address))
    binary = {"ce_specversion": "1.0", "ce_type": TYPE, "ce_source": "//crm/exports"}
    request = UploadRequest(**DATA, filename="shown.csv")
    producer.send(UPLOAD_REQUESTS, codec.encode(request), headers={**binary, "ce_id": "avro"})
    producer.send(UPLOAD_REQUESTS, json.dumps(DATA).encode(), headers={**binary, "ce_id": "binary"})
    producer.flush(10)
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    send(own_broker.address, event("structured", correlationid="c-1", traceparent=trace))
    with taking_in(database_url, own_broker.address, object_store):
        servers.until(lambda: len(rows(database_url)) == 3, seconds=30)
    shown = rows(
        database_url,
        "SELECT source_event_id, organization_id, status, source_type, source, record_type, filename, s3_bucket,"
        " s3_key, etag, size_bytes, created_by, accepted_at IS NOT NULL FROM batch_uploads ORDER BY 1",
    )
    facts = (DEFAULT_ORGANIZATION, "pending", "kafka", "//crm/exports", "member_certification")
    place = (servers.BUCKET, KEY, "900150983cd24fb0d6963f7d28e17f72", 3, "//crm/exports", True)
    assert shown == [
        ("avro", *facts, "shown.csv", *place),
        ("binary", *facts, "members.csv", *place),
        ("structured", *facts, "members.csv", *place),
    ]
    (correlation_id, traceparent), *_ = rows(
        database_url,
        "SELECT correlation_id, traceparent FROM batch_uploads WHERE source_event_id = 'structured'",
    )
    assert correlation_id == "c-1"
    assert traceparent.split("-")[1] == "a" * 32
    topics = rows(database_url, "SELECT topic, count(*) FROM outbox GROUP BY 1 ORDER BY 1")
    replies = ("rowstream.upload-replies.v1", 3)
    assert topics == [replies, ("rowstream.upload-status.v1", 3), ("rowstream.uploads.v1", 3)]


def test_the_same_event_is_the_same_upload_in_each_organization(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    other = servers.make_organization(database_url, "other")
    default: dict[str, Any] = {"organization": str(DEFAULT_ORGANIZATION)}
    send(
        own_broker.address,
        event("e", **default),
        event("e", **default),
        event("e", {**DATA, "key": "is no longer there"}, **default),
        event("e", organization=str(other)),
        event("e", source="//another/system"),
        event("last", **default),
    )
    bound = "*=default, //crm/*=other"
    with taking_in(database_url, own_broker.address, object_store, bound=bound):
        servers.until(lambda: ("last",) in rows(database_url), seconds=30)
    found = rows(database_url, "SELECT organization_id, source, source_event_id FROM batch_uploads")
    assert sorted(found) == sorted(
        [
            (DEFAULT_ORGANIZATION, "//crm/exports", "e"),
            (other, "//crm/exports", "e"),
            (DEFAULT_ORGANIZATION, "//another/system", "e"),
            (DEFAULT_ORGANIZATION, "//crm/exports", "last"),
        ]
    )
    assert dead_letters(own_broker.address, 0) == []


def test_a_bad_request_is_put_aside_with_its_reason_and_the_rest_goes_on(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    servers.store_of(object_store).put(servers.BUCKET, "large", io.BytesIO(b"x" * 1_001))
    bad = {
        "no CloudEvent": ({"hello": "world"}, "no data"),
        "other type": (event("1", type="order.created"), "order.created"),
        "unknown record type": (event("2", {**DATA, "record_type": "nonsense"}), "member_certification"),
        "other bucket": (event("3", {**DATA, "bucket": "secrets"}), "nothing is taken from bucket"),
        "another's raw upload": (event("4", {**DATA, "key": "raw-uploads/x/y"}), "belong to the uploads"),
        "missing object": (event("5", {**DATA, "key": "nowhere"}), "store the object first"),
        "other etag": (event("6", {**DATA, "etag": "0" * 32}), "entity tag"),
        "too large": (event("7", {**DATA, "key": "large"}), "1001 bytes"),
        "unknown organization": (event("8", organization=str(uuid4())), "may not hand in for organization"),
        "a source of ours": (event("9", source="api"), "rowstream's own"),
        "a store's name": (event("11", source="s3://landing"), "rowstream's own"),
        "no name": (event("10", {**DATA, "filename": "\u202e"}), "filename"),
        "another place": (event("12", {**DATA, "key": "incoming/../members.csv"}), "names another place"),
        "a folder": (event("13", {**DATA, "key": "incoming/"}), "ends with a slash"),
        "too long a name": (event("14", {**DATA, "key": "incoming/" + "x" * 300}), "more than 255 characters"),
    }
    send(own_broker.address, *(each for each, _ in bad.values()), event("good"))
    with taking_in(database_url, own_broker.address, object_store):
        servers.until(lambda: rows(database_url) == [("good",)], seconds=30)
    letters = dead_letters(own_broker.address, len(bad))
    assert len(letters) == len(bad)
    for (name, (_, reason)), letter in zip(bad.items(), letters, strict=True):
        assert reason in letter["__connect.errors.exception.message"], name
        assert letter["__connect.errors.topic"] == UPLOAD_REQUESTS
        assert letter["__connect.errors.stage"] == "INTAKE"
        assert letter["content-type"] == "application/cloudevents+json"
    told = {reply.request_id: reply for reply, _ in replies(own_broker.address, len(bad))}
    assert told.keys() == {None, *map(str, range(1, 15))}
    for each, reason in bad.values():
        reply = told[each.get("id")]
        assert (reply.outcome, reply.upload_id) == ("refused", None)
        assert reason in (reply.reason or "")


def test_requests_of_schemas_that_nobody_knows_hold_the_others_back_once(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    producer = Producer(servers.kafka_settings(own_broker.address))
    headers = {"ce_specversion": "1.0", "ce_type": TYPE, "ce_source": "//crm", "content-type": "application/avro"}
    for number in range(20):
        value = codec.MARKER + bytes([number] * 8) + b"?"
        producer.send(UPLOAD_REQUESTS, value, key=b"one partition", headers={**headers, "ce_id": str(number)})
    assert producer.flush(10) == 0
    send(own_broker.address, event("good"))
    with taking_in(database_url, own_broker.address, object_store, schema_seconds=2.0):
        servers.until(lambda: rows(database_url) == [("good",)], seconds=30)  # and not two seconds for each
    told = [reply.reason or "" for reply, _ in replies(own_broker.address, 20)]
    assert ["no service has registered" in reason for reason in told] == [True] * 20


def test_a_request_is_answered_each_time_that_it_comes(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    send(own_broker.address, event("e", correlationid="c-1"), event("e", correlationid="c-2"))
    with taking_in(database_url, own_broker.address, object_store):
        servers.until(lambda: len(stored_replies(database_url)) == 2, seconds=30)
    ((upload_id,),) = rows(database_url, "SELECT id FROM batch_uploads")
    (first, first_headers), (second, second_headers) = stored_replies(database_url)
    assert first == UploadReply(
        request_source="//crm/exports", request_id="e", outcome="accepted", upload_id=upload_id, reason=None
    )
    assert second == dataclasses.replace(first, outcome="duplicate")
    assert (first_headers["correlation_id"], second_headers["correlation_id"]) == ("c-1", "c-2")
    assert first_headers["ce_type"] == "rowstream.upload_reply"
    assert first_headers["ce_organization"] == str(DEFAULT_ORGANIZATION)
    assert first_headers["ce_id"] != second_headers["ce_id"]


def test_a_source_hands_in_for_none_but_those_it_is_bound_to(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    acme, hill = (servers.make_organization(database_url, name) for name in ("acme", "hill"))
    bound = f"//acme/*=acme, //both/*=acme, //both/*={hill}, //gone/*=nobody"
    send(
        own_broker.address,
        event("1", source="//acme/crm"),
        event("2", source="//acme/crm", organization=str(hill)),
        event("3", source="//acme/crm", organization=str(DEFAULT_ORGANIZATION)),
        event("4", source="//both/crm"),
        event("5", source="//both/crm", organization=str(hill)),
        event("6", source="//stranger"),
        event("7", source="//gone/crm"),
    )
    with taking_in(database_url, own_broker.address, object_store, bound=bound):
        told = {reply.request_id: reply.reason or "" for reply, _ in replies(own_broker.address, 5)}
    taken = rows(database_url, "SELECT source_event_id, organization_id FROM batch_uploads ORDER BY 1")
    assert taken == [("1", acme), ("5", hill)]
    assert {id_: [word for word in ("may not", "several", "'nobody'") if word in told[id_]] for id_ in told} == {
        "2": ["may not"],
        "3": ["may not"],
        "4": ["several"],
        "6": ["may not"],
        "7": ["'nobody'"],
    }


def test_of_several_organizations_none_is_handed_anothers_file(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    acme, hill = (servers.make_organization(database_url, name) for name in ("acme", "hill"))
    for place in (acme, hill):
        servers.store_of(object_store).put(servers.BUCKET, f"{place}/members.csv", io.BytesIO(b"abc"))
    send(
        own_broker.address,
        event("own", {**DATA, "key": f"{acme}/members.csv"}, source="//acme/crm"),
        event("hills", {**DATA, "key": f"{hill}/members.csv"}, source="//acme/crm"),
        event("nobodys", source="//acme/crm"),
        event("missing", {**DATA, "key": f"{acme}/other.csv"}, source="//acme/crm"),
    )
    bound = "//acme/*=acme, //hill/*=hill"
    with taking_in(database_url, own_broker.address, object_store, bound=bound, prefix="{organization}/"):
        told = {reply.request_id: reply.reason or "" for reply, _ in replies(own_broker.address, 3)}
    assert rows(database_url) == [("own",)]
    assert told.keys() == {"hills", "nobodys", "missing"}
    assert {reason.partition("; ")[2] for reason in told.values()} == {"store the object first, then ask for it"}


def test_what_the_database_cannot_store_is_put_aside_and_the_rest_goes_on(
    database_url: str, own_broker: servers.Server, object_store: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = accept.take_in

    def refusing(connection: Connection, origin: accept.Origin, *rest: Any, **named: Any) -> UUID | None:
        if origin.event_id == "odd":  # as an entry of an index that is too long
            connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '54000' USING MESSAGE = 'a cell'; END $$"))
        return take_in(connection, origin, *rest, **named)

    monkeypatch.setattr(accept, "take_in", refusing)
    send(own_broker.address, event("odd"), event("good"))
    with taking_in(database_url, own_broker.address, object_store):
        servers.until(lambda: rows(database_url) == [("good",)], seconds=30)
    (letter,) = dead_letters(own_broker.address, 1)
    assert letter["__connect.errors.exception.message"] == "it holds what cannot be stored"


def test_a_dead_letter_is_the_message_as_it_came(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    producer = Producer(servers.kafka_settings(own_broker.address))
    producer.send(UPLOAD_REQUESTS, b"\x00\xff garbage", key=b"k")
    producer.flush(10)
    with taking_in(database_url, own_broker.address, object_store):
        (letter,) = servers.messages_in(own_broker.address, DEAD_LETTERS, 1, seconds=30)
        ((reply, headers),) = replies(own_broker.address, 1)
    assert (letter.key(), letter.value()) == (b"k", b"\x00\xff garbage")
    assert (reply.request_source, reply.request_id, reply.outcome) == (None, None, "refused")
    assert headers["ce_organization"] == "00000000-0000-0000-0000-000000000000"


def test_a_request_is_settled_only_after_its_commit(
    database_url: str, own_broker: servers.Server, object_store: servers.Server
) -> None:
    """While nothing can be stored the message waits, even over a restart; then it is taken in, once."""
    send(own_broker.address, event("waits"), event("behind"))
    with taking_in_without_store(database_url, own_broker.address):
        time.sleep(6)  # joined the group, and tried more than once
        assert rows(database_url) == []
    with taking_in(database_url, own_broker.address, object_store):
        servers.until(lambda: rows(database_url) == [("behind",), ("waits",)], seconds=30)
    assert dead_letters(own_broker.address, 0) == []


@contextmanager
def taking_in_without_store(url: str, bootstrap_servers: str) -> Iterator[None]:
    """An intake whose object store does not answer."""
    nobody = servers.Server(
        name="nobody",
        command=[],
        port=servers.free_port(),
        log=Path("unused"),
        environment={},
        ready=lambda: False,
    )
    with taking_in(url, bootstrap_servers, nobody, patience=0.5):
        yield


def test_a_database_that_goes_away_is_waited_for(
    tmp_path: Path, own_broker: servers.Server, object_store: servers.Server
) -> None:
    with (
        servers.postgres_server(tmp_path) as postgres,
        postgres.fresh_database() as url,
        taking_in(url, own_broker.address, object_store),
    ):
        send(own_broker.address, event("before"))
        servers.until(lambda: rows(url) == [("before",)], seconds=30)
        postgres.kill()
        send(own_broker.address, event("while away"))
        time.sleep(2)
        postgres.start()
        servers.until(lambda: rows(url) == [("before",), ("while away",)], seconds=30)
    assert dead_letters(own_broker.address, 0) == []


def test_a_broker_that_loses_its_log_is_waited_for(
    database_url: str, either_broker: servers.Broker, object_store: servers.Server, tmp_path: Path
) -> None:
    storage, facts = servers.storage_settings(object_store), {"GATEWAY__INTAKE_BUCKETS": servers.BUCKET}
    broker = either_broker.address
    with (
        process_of(
            "ingest_gateway", tmp_path, database=database_url, broker=broker, storage=storage, facts=facts
        ) as gateway,
        kept_going(gateway),
    ):
        send(broker, event("before"))
        servers.until(lambda: rows(database_url) == [("before",)], seconds=30)
        either_broker.kill()
        either_broker.lose_log()
        either_broker.start()
        send(broker, event("before"), event("after"))
        servers.until(lambda: len(rows(database_url)) > 1, seconds=60)
    assert rows(database_url) == [("after",), ("before",)]
