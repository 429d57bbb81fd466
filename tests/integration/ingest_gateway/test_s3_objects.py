"""Objects of which events tell, in a real store and a real database: once each, whatever the order."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from ingest_gateway.doer import Actor
from ingest_gateway.gateway import Gateway
from ingest_gateway.s3_events import Kind, S3Event
from ingest_gateway.s3_objects import Outcome, Teller, take_all
from ingest_gateway.sources import SourcesFile
from rowstream.storage.s3 import S3Store
from tests import gateways, servers

TELLER = Teller(correlation_id="c-1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
TAKEN, AGAIN, OLDER = Outcome.TAKEN, Outcome.AGAIN, Outcome.OLDER


class Landing:
    """A gateway that goes by a sources file, and its store with a folder that only this test uses."""

    def __init__(self, gateway: Gateway, url: str, store: S3Store, file: Path) -> None:
        self.gateway, self.url, self.store, self.file = gateway, url, store, file
        self.folder = f"{uuid4()}/"
        self.said = ""

    def source(self, name: str, organization: str | UUID, prefix: str, **more: str) -> None:
        """Write one more source into the file."""
        facts = {"name": name, "organization": str(organization), "bucket": servers.BUCKET, **more}
        facts |= {"prefix": self.folder + prefix, "record_type": "member_certification"}
        self.said += "\n".join(["[[s3]]", *(f"{key} = {value!r}" for key, value in facts.items()), ""])
        self.file.write_text(self.said)

    def put(self, key: str, content: bytes) -> str:
        """Store an object; its entity tag."""
        return self.store.put(servers.BUCKET, self.folder + key, io.BytesIO(content)).etag

    def event(self, key: str, etag: str | None = None, sequencer: str | None = None, **more: Any) -> S3Event:
        key = self.folder + key
        facts = {"kind": Kind.CREATED, "bucket": servers.BUCKET, "key": key, "key_as_written": key, **more}
        return S3Event(etag=etag, sequencer=sequencer, **facts)

    def take(self, *events: S3Event, teller: Teller = TELLER) -> list[Outcome]:
        sources = SourcesFile(self.file)
        return [
            outcome
            for event in events
            for outcome in take_all(self.gateway, sources, [event], teller).outcomes.elements()
        ]

    def rows(self, columns: str = "s3_key, etag") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            query = f"SELECT {columns} FROM batch_uploads ORDER BY created_at"  # noqa: S608 - columns are of the tests
            rows = connection.execute(query).fetchall()
        return [tuple(self._short(cell) for cell in row) for row in rows]

    def _short(self, cell: Any) -> Any:
        return cell.replace(self.folder, "") if isinstance(cell, str) else cell


@contextmanager
def open_landing(url: str, object_store: servers.Server, folder: Path, **settings: Any) -> Iterator[Landing]:
    storage = servers.storage_settings(object_store)
    with gateways.opened(gateways.gateway_settings(url, storage, **settings)) as gateway:
        yield Landing(gateway, url, servers.store_of(object_store), folder / "sources.toml")


@pytest.fixture
def landing(database_url: str, object_store: servers.Server, tmp_path: Path) -> Iterator[Landing]:
    with open_landing(database_url, object_store, tmp_path) as landing:
        landing.source("acme", "default", "acme/")
        yield landing


def test_an_object_becomes_an_upload(landing: Landing) -> None:
    etag = landing.put("acme/März 1.csv", b"abc")
    assert landing.take(landing.event("acme/März 1.csv", etag, "1")) == [TAKEN]
    shown = landing.rows(
        "source_type, source, source_event_id, filename, record_type, etag, size_bytes, status, created_by,"
        " created_by_kind, correlation_id"
    )
    bucket = f"s3://{servers.BUCKET}"
    facts = ("member_certification", etag, 3, "pending", "acme", "system", "c-1")
    assert shown == [("s3_event", bucket, f"acme/März 1.csv@{etag}#1", "März 1.csv", *facts)]


def test_the_same_event_twice_is_one_upload(landing: Landing) -> None:
    told = landing.event("acme/a.csv", landing.put("acme/a.csv", b"1"), "1")
    assert landing.take(told, told) == [TAKEN, AGAIN]
    assert len(landing.rows()) == 1


def test_events_of_the_same_moment_are_one_upload(landing: Landing) -> None:
    """Half of them tell of a version that was overwritten, and so are other events."""
    etag = landing.put("acme/a.csv", b"1")
    found: list[Outcome] = []
    start = threading.Barrier(6)

    def tell(number: int) -> None:
        start.wait(20)
        told = ("0" * 32, "1") if number % 2 else (etag, "2")
        found.extend(landing.take(landing.event("acme/a.csv", *told)))

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == sorted([TAKEN, *[AGAIN] * 5])
    assert len(landing.rows()) == 1


def test_an_overwritten_object_is_a_new_upload(landing: Landing) -> None:
    etags = []
    for sequencer, content in enumerate([b"1", b"2", b"1", b"1"], start=9):
        etags.append(landing.put("acme/a.csv", content))
        told = landing.event("acme/a.csv", etags[-1], f"{sequencer:X}")
        assert landing.take(told, told) == [TAKEN, AGAIN]
    assert landing.rows("etag") == [(etag,) for etag in etags]


def test_an_older_event_after_a_newer_one_is_ignored(landing: Landing) -> None:
    first = landing.event("acme/a.csv", landing.put("acme/a.csv", b"1"), "9")
    second = landing.event("acme/a.csv", landing.put("acme/a.csv", b"2"), "10")
    assert landing.take(second, first) == [TAKEN, AGAIN]
    third = landing.event("acme/a.csv", landing.put("acme/a.csv", b"3"), "11")
    assert landing.take(first, third, third) == [OLDER, TAKEN, AGAIN]
    assert landing.rows("etag") == [(second.etag,), (third.etag,)]


def test_an_object_overwritten_before_anybody_looked_is_taken_once_as_it_is(landing: Landing) -> None:
    first = landing.event("acme/a.csv", landing.put("acme/a.csv", b"1"), "1")
    second = landing.event("acme/a.csv", landing.put("acme/a.csv", b"2"), "2")
    assert landing.take(first, second, second, first) == [TAKEN, AGAIN, AGAIN, AGAIN]
    assert landing.rows("etag") == [(second.etag,)]


def test_a_store_that_counts_anew_is_heard(landing: Landing) -> None:
    assert landing.take(landing.event("acme/a.csv", landing.put("acme/a.csv", b"1"), "FF")) == [TAKEN]
    assert landing.take(landing.event("acme/a.csv", landing.put("acme/a.csv", b"2"), "1")) == [TAKEN]


def test_a_store_that_says_only_the_key_is_heard(landing: Landing) -> None:
    for content in (b"1", b"2", b"1"):
        landing.put("acme/a.csv", content)
        assert landing.take(landing.event("acme/a.csv"), landing.event("acme/a.csv")) == [TAKEN, AGAIN]
    assert len(landing.rows()) == 3


def test_a_key_that_was_not_encoded_is_found(landing: Landing) -> None:
    etag = landing.put("acme/a+b.csv", b"1")
    written = landing.folder + "acme/a+b.csv"
    assert landing.take(landing.event("acme/a b.csv", etag, "1", key_as_written=written)) == [TAKEN]
    assert landing.rows("s3_key, filename") == [("acme/a+b.csv", "a+b.csv")]
    other = landing.put("acme/a b.csv", b"2")
    assert landing.take(landing.event("acme/a b.csv", other, "2", key_as_written=written)) == [TAKEN]
    assert landing.rows("s3_key")[1:] == [("acme/a b.csv",)]


def test_what_is_not_ours_and_what_is_gone_is_ignored(landing: Landing) -> None:
    landing.put("elsewhere/a.csv", b"1")
    landing.put("acme2/a.csv", b"1")
    landing.put("acme/a.csv", b"1")
    told = [
        landing.event("elsewhere/a.csv"),
        landing.event("acme2/a.csv"),
        landing.event("acme/a.csv", bucket="another"),
        landing.event("acme/"),
        landing.event("acme/nowhere.csv"),
        S3Event(kind=Kind.OTHER),
        S3Event(kind=Kind.TEST),
    ]
    ours = Outcome.NOT_OURS
    assert landing.take(*told) == [ours, ours, ours, ours, Outcome.GONE, Outcome.OTHER, Outcome.TEST]
    assert landing.rows() == []


def test_the_uploads_of_others_are_not_taken_as_objects(landing: Landing) -> None:
    """A source for the whole of rowstream's own bucket does not make what was uploaded into an upload again."""
    landing.said = ""
    landing.folder = ""
    landing.source("all", "default", "")
    raw = f"raw-uploads/{uuid4()}/x"
    landing.put(raw, b"1")
    assert landing.take(landing.event(raw)) == [Outcome.NOT_OURS]


def test_the_longest_prefix_decides_whose_it_is(landing: Landing) -> None:
    hill = servers.make_organization(landing.url, "hill")
    landing.source("hill", hill, "acme/hill/", suffix=".csv")
    for key in ("acme/a.csv", "acme/hill/a.csv", "acme/hill/a.txt"):
        landing.put(key, b"1")
    outcomes = landing.take(*(landing.event(key) for key in ("acme/a.csv", "acme/hill/a.csv", "acme/hill/a.txt")))
    assert outcomes == [TAKEN, TAKEN, Outcome.NOT_OURS]
    assert landing.rows("s3_key, created_by") == [("acme/a.csv", "acme"), ("acme/hill/a.csv", "hill")]
    assert landing.rows("organization_id")[1] == (hill,)


def test_who_tells_for_one_organization_tells_for_no_other(landing: Landing) -> None:
    hill = servers.make_organization(landing.url, "hill")
    key = Actor(kind="key", id=uuid4(), name="minio")
    landing.put("acme/a.csv", b"1")
    teller = Teller(actor=key, only_for=hill, address="192.0.2.1", correlation_id="c", traceparent="")
    assert landing.take(landing.event("acme/a.csv"), teller=teller) == [Outcome.NOT_OURS]
    landing.source("hill", "hill", "hill/")
    landing.put("hill/a.csv", b"1")
    assert landing.take(landing.event("hill/a.csv"), teller=teller) == [TAKEN]
    shown = landing.rows("organization_id, created_by, created_by_kind, created_by_id, created_from, source_type")
    assert shown == [(hill, "minio", "key", key.id, "192.0.2.1", "s3_event")]


def test_a_prefix_given_to_another_organization_begins_anew(landing: Landing) -> None:
    told = landing.event("acme/a.csv", landing.put("acme/a.csv", b"1"), "1")
    assert landing.take(told) == [TAKEN]
    hill = servers.make_organization(landing.url, "hill")
    landing.said = ""
    landing.source("hill", hill, "acme/")
    assert landing.take(told, told) == [TAKEN, AGAIN]


def test_what_may_not_be_taken_is_refused_and_costs_only_itself(
    database_url: str, object_store: servers.Server, tmp_path: Path
) -> None:
    with open_landing(database_url, object_store, tmp_path, max_upload_bytes=3) as landing:
        landing.source("acme", "default", "acme/")
        landing.source("nobody", "nobody", "nobody/")
        for key, content in {
            "acme/large": b"1234",
            "acme/a.csv": b"123",
            "nobody/a.csv": b"1",
            "acme/\u202e": b"1",
        }.items():
            landing.put(key, content)
        told = take_all(
            landing.gateway,
            SourcesFile(landing.file),
            [
                S3Event(kind=Kind.BAD, fault="it cannot be read"),
                *map(landing.event, ("acme/large", "nobody/a.csv", "acme/\u202e", "acme/a.csv")),
            ],
            TELLER,
        )
        assert told.outcomes == {Outcome.REFUSED: 4, TAKEN: 1}
        for reason, said in zip(told.reasons, ("cannot be read", "4 bytes", "'nobody'", "filename"), strict=True):
            assert said in reason
        assert landing.rows("s3_key") == [("acme/a.csv",)]


def test_the_file_is_read_again_when_it_has_changed_and_a_wrong_one_changes_nothing(landing: Landing) -> None:
    sources = SourcesFile(landing.file)
    landing.put("acme/a.csv", b"1")
    landing.put("hill/a.csv", b"1")
    told = [landing.event("hill/a.csv")]
    assert take_all(landing.gateway, sources, told, TELLER).outcomes == {Outcome.NOT_OURS: 1}
    landing.file.write_text("[[s3]]\nname = 'half")
    assert len(sources.now().s3) == 1
    landing.file.unlink()
    assert len(sources.now().s3) == 1
    landing.source("hill", "default", "hill/")
    assert take_all(landing.gateway, sources, told, TELLER).outcomes == {TAKEN: 1}
