"""Uploads in parts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from rowstream.storage.s3 import S3Store
from tests.contract.ways.conftest import Stored
from tests.problems import problem

ROOTS = ("/api/v1/batch_uploads", "/staff/batch_uploads")
ROOT = ROOTS[0]
PART = 5 * 2**20
DATA = (b"0123456789abcdef" * (PART // 16 + 1) * 3)[: 2 * PART + 1_000]
WANTED = {"record_type": "member_certification", "filename": "members.csv", "size_bytes": len(DATA), "part_bytes": PART}


def begin(api: httpx.Client, key: str | None = None, root: str = ROOT, **changed: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(f"{root}/multipart", json={**WANTED, **changed}, headers=headers)


def begun(api: httpx.Client, root: str = ROOT, **changed: Any) -> str:
    return str(begin(api, root=root, **changed).json()["upload_id"])


def sign(api: httpx.Client, upload_id: str, *numbers: int, root: str = ROOT) -> httpx.Response:
    return api.post(f"{root}/{upload_id}/parts", json={"numbers": numbers})


def send(api: httpx.Client, upload_id: str, *numbers: int, data: bytes = DATA, root: str = ROOT) -> None:
    for one in sign(api, upload_id, *numbers, root=root).json()["items"]:
        at = (one["number"] - 1) * PART
        part = data[at : at + PART]
        assert one["size_bytes"] == len(part)
        assert httpx.put(one["url"], content=part).is_success


def there(api: httpx.Client, upload_id: str, **asked: Any) -> dict[str, Any]:
    page: dict[str, Any] = api.get(f"{ROOT}/{upload_id}/parts", params=asked).json()
    return page


def complete(api: httpx.Client, upload_id: str, root: str = ROOT) -> httpx.Response:
    return api.post(f"{root}/{upload_id}/complete")


def abort(api: httpx.Client, upload_id: str) -> httpx.Response:
    return api.post(f"{ROOT}/{upload_id}/abort")


@pytest.mark.parametrize("root", ROOTS)
def test_a_file_comes_in_parts_in_any_order(api: httpx.Client, stored: Stored, root: str) -> None:
    made = begin(api, root=root)
    upload_id = made.json()["upload_id"]
    assert (made.status_code, made.json()) == (201, {"upload_id": upload_id, "part_bytes": PART, "parts": 3})
    send(api, upload_id, 3, root=root)
    send(api, upload_id, 2, 1, root=root)
    answer = complete(api, upload_id, root)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{root}/{upload_id}"
    assert (answer.json()["status"], answer.json()["size_bytes"]) == ("pending", len(DATA))
    assert answer.json()["source_type"] == ("api" if root == ROOT else "ui")
    assert stored.content(upload_id) == DATA
    again = complete(api, upload_id, root)
    assert (again.status_code, again.json()["id"], again.json()["version"]) == (200, upload_id, 2)


def test_what_is_there_is_told_so_that_it_goes_on_from_there(api: httpx.Client) -> None:
    upload_id = begun(api)
    assert there(api, upload_id) == {"items": [], "next_cursor": None}
    send(api, upload_id, 1, 3)
    found = there(api, upload_id)
    assert [(part["number"], part["size_bytes"]) for part in found["items"]] == [(1, PART), (3, 1_000)]
    assert found["next_cursor"] is None
    first = there(api, upload_id, limit=1)
    assert [part["number"] for part in first["items"]] == [1]
    assert [part["number"] for part in there(api, upload_id, cursor=first["next_cursor"])["items"]] == [3]
    body = problem(complete(api, upload_id), 409, "parts_missing")
    assert (body["missing"], body["count"]) == ([2], 1)
    assert api.get(f"{ROOT}/{upload_id}").json()["status"] == "awaiting_upload"
    send(api, upload_id, 2)
    assert complete(api, upload_id).status_code == 202


def test_a_part_that_is_sent_again_takes_the_place_of_the_first(api: httpx.Client, stored: Stored) -> None:
    upload_id = begun(api)
    send(api, upload_id, 1, data=b"x" * len(DATA))
    send(api, upload_id, 1, 2, 3)
    assert complete(api, upload_id).status_code == 202
    assert stored.content(upload_id) == DATA


def test_the_same_key_is_the_same_upload(api: httpx.Client, other: httpx.Client) -> None:
    key = str(uuid4())
    first, again = begin(api, key), begin(api, key)
    assert again.json() == first.json()
    problem(begin(api, key, filename="other.csv"), 422, "idempotency_key_reused")
    problem(begin(api, key, size_bytes=PART), 422, "idempotency_key_reused")
    assert begin(api, key, root=ROOTS[1]).json()["upload_id"] != first.json()["upload_id"]
    assert begin(other, key).json()["upload_id"] != first.json()["upload_id"]
    abort(api, first.json()["upload_id"])
    problem(begin(api, key), 409, "upload_not_waiting")


def test_many_that_begin_the_same_begin_it_once(api: httpx.Client, store: S3Store, stored: Stored) -> None:
    key, barrier = str(uuid4()), Barrier(4)

    def once(_: int) -> str:
        barrier.wait()
        return str(begin(api, key).json()["upload_id"])

    with ThreadPoolExecutor(4) as pool:
        (upload_id,) = set(pool.map(once, range(4)))
    assert left_over(store, stored, upload_id) == 1
    send(api, upload_id, 1, 2, 3)
    assert complete(api, upload_id).status_code == 202
    assert left_over(store, stored, upload_id) == 0


def left_over(store: S3Store, stored: Stored, upload_id: str) -> int:
    """How many objects the store has begun for an upload."""
    found = store._client.list_multipart_uploads(Bucket=stored.place(upload_id)[0], Prefix=stored.place(upload_id)[1])
    return len(found.get("Uploads", ()))


@pytest.mark.parametrize("race", [(complete, complete), (complete, abort), (abort, abort)])
def test_whoever_comes_first_decides(
    api: httpx.Client,
    url: str,
    stored: Stored,
    store: S3Store,
    race: tuple[Callable[[httpx.Client, str], httpx.Response], ...],
) -> None:
    for _ in range(3):
        upload_id, barrier = begun(api), Barrier(2)
        send(api, upload_id, 1, 2, 3)

        def run(act: Callable[[httpx.Client, str], httpx.Response], id_: str, barrier: Barrier) -> int:
            barrier.wait()
            return act(api, id_).status_code

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(run, race, [upload_id] * 2, [barrier] * 2))
        upload = api.get(f"{ROOT}/{upload_id}").json()
        with psycopg.connect(url) as connection:
            said = connection.execute(
                "SELECT count(*) FROM outbox WHERE message_key = %s AND topic = 'rowstream.uploads.v1'",
                (upload_id.encode(),),
            ).fetchone()
        if upload["accepted_at"]:
            assert said == (1,)
            assert codes.count(202) == 1
            assert stored.content(upload_id) == DATA
        else:
            assert said == (0,)
            assert not {202} & set(codes)
            assert upload["failure_code"] == "S3_004"
            assert stored.left(upload_id) == []
        assert 500 not in codes
        assert left_over(store, stored, upload_id) == 0


def test_an_aborted_upload_has_ended(api: httpx.Client, store: S3Store, stored: Stored, url: str) -> None:
    upload_id = begun(api)
    send(api, upload_id, 1)
    answer = abort(api, upload_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["failure_code"]) == (200, "failed", "S3_004")
    assert abort(api, upload_id).status_code == 200
    assert left_over(store, stored, upload_id) == 0
    problem(sign(api, upload_id, 1), 409, "upload_not_waiting")
    problem(complete(api, upload_id), 409, "upload_given_up")
    with psycopg.connect(url) as connection:
        query = "SELECT action FROM acts WHERE batch_upload_id = %s"
        assert connection.execute(query, (upload_id,)).fetchall() == [("upload.dropped",)]


def test_an_accepted_upload_is_not_aborted(api: httpx.Client, stored: Stored) -> None:
    upload_id = begun(api)
    send(api, upload_id, 1, 2, 3)
    complete(api, upload_id)
    problem(abort(api, upload_id), 409, "upload_not_waiting")
    assert stored.content(upload_id) == DATA


def test_an_answer_that_was_lost_is_given_again(api: httpx.Client, stored: Stored, url: str) -> None:
    """The gateway ends after the object was put together, before it was accepted."""
    upload_id = begun(api)
    send(api, upload_id, 1, 2, 3)
    assert complete(api, upload_id).status_code == 202
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE batch_uploads SET status = 'awaiting_upload', accepted_at = NULL WHERE id = %s", (upload_id,)
        )
    assert complete(api, upload_id).status_code == 202
    assert stored.content(upload_id) == DATA


def test_parts_that_the_store_has_lost_are_told(api: httpx.Client, store: S3Store, stored: Stored) -> None:
    upload_id = begun(api)
    bucket, key = stored.place(upload_id)
    (lost,) = store._client.list_multipart_uploads(Bucket=bucket, Prefix=key)["Uploads"]
    store._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=lost["UploadId"])
    assert "begin a new upload" in problem(complete(api, upload_id), 409, "parts_gone")["detail"]
    problem(api.get(f"{ROOT}/{upload_id}/parts"), 409, "parts_gone")
    assert abort(api, upload_id).status_code == 200


def test_a_file_that_is_no_text_is_refused_and_not_kept(api: httpx.Client, stored: Stored) -> None:
    upload_id = begun(api)
    send(api, upload_id, 1, 2, 3, data=b"PK\x03\x04" + DATA[4:])
    assert "ZIP" in problem(complete(api, upload_id), 422, "not_a_table_of_text")["detail"]
    assert stored.left(upload_id) == []
    upload = api.get(f"{ROOT}/{upload_id}").json()
    assert (upload["status"], upload["failure_code"], upload["accepted_at"]) == ("failed", "FMT_002", None)
    problem(complete(api, upload_id), 422, "not_a_table_of_text")


def test_a_part_of_another_size_is_not_taken(api: httpx.Client) -> None:
    """A strict store refuses it at once, any other when the upload is completed."""
    upload_id = begun(api)
    send(api, upload_id, 1, 3)
    (second,) = sign(api, upload_id, 2).json()["items"]
    httpx.put(second["url"], content=DATA[: PART + 1])
    assert problem(complete(api, upload_id), 409, "parts_missing")["missing"] == [2]
    send(api, upload_id, 2)
    assert complete(api, upload_id).status_code == 202


def test_the_parts_size_follows_from_the_files(api: httpx.Client) -> None:
    made = begin(api, part_bytes=None, size_bytes=60_000_000).json()
    assert (made["part_bytes"], made["parts"]) == (8 * 2**20, 8)


@pytest.mark.parametrize(
    ("changed", "status", "kind"),
    [
        ({"size_bytes": 0}, 422, "invalid_request"),
        ({"size_bytes": 60_000_001}, 413, "file_too_large"),
        ({"part_bytes": PART - 1}, 422, "invalid_request"),
        ({"part_bytes": 6 * 2**30}, 422, "invalid_request"),
        ({"record_type": "things"}, 422, "unknown_record_type"),
        ({"filename": "folder/"}, 422, "invalid_request"),
        ({"bucket": "mine"}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_is_refused(api: httpx.Client, changed: dict[str, Any], status: int, kind: str) -> None:
    problem(begin(api, **changed), status, kind)


@pytest.mark.parametrize("numbers", [[], [0], [-1], ["1"], [10_001], [1] * 1_001, None])
def test_what_are_no_numbers_is_refused(api: httpx.Client, numbers: object) -> None:
    problem(api.post(f"{ROOT}/{begun(api)}/parts", json={"numbers": numbers}), 422, "invalid_request")


def test_a_part_that_the_file_does_not_have_is_refused(api: httpx.Client) -> None:
    assert "3 parts" in problem(sign(api, begun(api), 1, 4), 422, "no_such_part")["detail"]


def test_an_upload_of_another_kind_is_told(api: httpx.Client) -> None:
    asked = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 3}
    upload_id = api.post(f"{ROOT}/presigned_url", json=asked).json()["upload_id"]
    for answer in (
        sign(api, upload_id, 1),
        complete(api, upload_id),
        abort(api, upload_id),
        api.get(f"{ROOT}/{upload_id}/parts"),
    ):
        problem(answer, 409, "not_in_parts")


def test_another_organizations_upload_is_not_there(api: httpx.Client, other: httpx.Client) -> None:
    upload_id = begun(api)
    for id_ in (upload_id, str(uuid4()), "nonsense"):
        for answer in (
            sign(other, id_, 1),
            complete(other, id_),
            abort(other, id_),
            other.get(f"{ROOT}/{id_}/parts"),
        ):
            problem(answer, 404, "no_such_upload")
    send(api, upload_id, 1, 2, 3)
    assert complete(api, upload_id).status_code == 202
