"""An object that lies in an allowed bucket already, handed in by its name."""

import io
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.s3 import S3Store
from tests import servers
from tests.contract.ways.conftest import Stored
from tests.problems import problem

ROOTS = ("/api/v1/batch_uploads", "/staff/batch_uploads")
TYPE = "member_certification"
LANDING = "landing"


@pytest.fixture(autouse=True)
def _landing(store: S3Store) -> None:
    store.make_bucket(LANDING)


def laid(store: S3Store, body: bytes = b"a,b\n", *, whose: object = DEFAULT_ORGANIZATION, bucket: str = LANDING) -> str:
    """The key of an object under an organization's prefix."""
    key = f"{whose}/in/{uuid4()}/März.csv"
    store.put(bucket, key, io.BytesIO(body))
    return key


def hand_in(
    api: httpx.Client, key: str, name: str | None = None, root: str = ROOTS[0], **asked: object
) -> httpx.Response:
    body = {"record_type": TYPE, "bucket": LANDING, "key": key} | asked
    return api.post(f"{root}/reference", json=body, headers={"Idempotency-Key": name} if name else {})


@pytest.mark.parametrize("root", ROOTS)
def test_the_object_is_taken_where_it_lies(api: httpx.Client, store: S3Store, stored: Stored, root: str) -> None:
    key = laid(store)
    answer = hand_in(api, key, root=root)
    upload = answer.json()
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{root}/{upload['id']}"
    assert (upload["status"], upload["filename"], upload["size_bytes"]) == ("pending", "März.csv", 4)
    assert upload["source_type"] == ("api" if root == ROOTS[0] else "ui")
    assert stored.place(upload["id"]) == (LANDING, key)
    assert upload["etag"] == store.look(LANDING, key).etag


def test_the_same_key_is_the_same_upload(api: httpx.Client, store: S3Store) -> None:
    key, name = laid(store), str(uuid4())
    first, again = hand_in(api, key, name), hand_in(api, key, name)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    problem(hand_in(api, laid(store), name), 422, "idempotency_key_reused")


def test_an_object_of_another_etag_or_version_is_not_taken(api: httpx.Client, store: S3Store) -> None:
    key = laid(store)
    assert hand_in(api, key, etag=store.look(LANDING, key).etag).status_code == 202
    assert "entity tag" in problem(hand_in(api, key, etag="other"), 422, "object_not_taken")["detail"]


def test_what_is_not_there_and_what_is_anothers_look_the_same(api: httpx.Client, store: S3Store) -> None:
    others = servers.BUCKET, LANDING
    theirs = laid(store, whose=uuid4())
    missing = f"{DEFAULT_ORGANIZATION}/none.csv"
    said = []
    for key in (theirs, missing, theirs.replace("in/", "in/2026/"), "members.csv"):
        body = problem(hand_in(api, key), 404, "no_such_object")
        said.append(body["detail"].replace(key, "KEY"))
    assert len(set(said)) == 1
    assert others


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("other", f"{DEFAULT_ORGANIZATION}/x.csv"),
        ("http://169.254.169.254/latest", f"{DEFAULT_ORGANIZATION}/x.csv"),
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/x", f"{DEFAULT_ORGANIZATION}/x.csv"),
        ("../landing", f"{DEFAULT_ORGANIZATION}/x.csv"),
        ("LANDING", f"{DEFAULT_ORGANIZATION}/x.csv"),
        (servers.BUCKET, f"raw-uploads/{DEFAULT_ORGANIZATION}/x"),
        (servers.BUCKET, "raw-uploads/0198c0de-0000-7000-8000-0000000000ff/x"),
        (servers.BUCKET, f"errors/{DEFAULT_ORGANIZATION}/x"),
        (LANDING, f"{DEFAULT_ORGANIZATION}/" + "ü" * 500),
        (LANDING, f"{DEFAULT_ORGANIZATION}/" + "x" * 300),
        (LANDING, f"{DEFAULT_ORGANIZATION}/"),
        (LANDING, f"{DEFAULT_ORGANIZATION}/in//a.csv"),
        (LANDING, f"{DEFAULT_ORGANIZATION}/in/./a.csv"),
        (LANDING, f"{DEFAULT_ORGANIZATION}/../{UUID(int=1)}/a.csv"),
        (LANDING, "../../../etc/passwd"),
        (LANDING, f"/{DEFAULT_ORGANIZATION}/a.csv"),
    ],
)
def test_only_places_that_were_allowed_are_looked_at(api: httpx.Client, bucket: str, key: str) -> None:
    problem(hand_in(api, key, bucket=bucket), 422, "object_not_taken")


@pytest.mark.parametrize(
    "asked",
    [{"bucket": ""}, {"key": ""}, {"key": "a\x00b"}, {"key": "x" * 1_025}, {"url": "http://x/"}, {"bucket": None}],
)
def test_what_is_not_as_it_should_be_is_told(api: httpx.Client, asked: dict[str, object]) -> None:
    problem(hand_in(api, **{"key": "x", **asked}), 422, "invalid_request")  # type: ignore[arg-type]


def test_a_file_that_is_no_text_or_too_large_is_refused(api: httpx.Client, store: S3Store, url: str) -> None:
    picture = laid(store, b"\xff\xd8\xff" + bytes(50))
    assert "JPEG" in problem(hand_in(api, picture), 422, "not_a_table_of_text")["detail"]
    large = laid(store, b"a" * 60_000_001)
    assert "60000001 bytes" in problem(hand_in(api, large), 422, "object_not_taken")["detail"]
    store.look(LANDING, picture)  # it stays, as it is not ours
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM batch_uploads WHERE s3_key = ANY(%s)"
        assert connection.execute(query, ([picture, large],)).fetchone() == (0,)
