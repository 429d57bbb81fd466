"""The same request again is answered, not done again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests import gateways, servers
from tests.problems import problem

ROOT = "/api/v1/batch_uploads"


@pytest.fixture(scope="module")
def object_store(localbucket: servers.Server) -> servers.Server:
    """One store is enough here."""
    return localbucket


@pytest.fixture
def upload_id(api: httpx.Client) -> str:
    asked = {"record_type": "member_certification", "filename": "a.csv"}
    return str(api.post(f"{ROOT}/content", params=asked, content=b"a,b\n").json()["id"])


@pytest.fixture
def key() -> str:
    return str(uuid4())


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def ask(api: httpx.Client, path: str, key: str, body: object = None) -> httpx.Response:
    return api.post(f"{ROOT}{path}", json=body, headers={"Idempotency-Key": key})


def test_the_answer_is_given_again_whatever_has_happened_since(api: httpx.Client, upload_id: str, key: str) -> None:
    first = ask(api, f"/{upload_id}/pause", key)
    assert (first.status_code, first.json()["requested"]) == (202, "pause")
    api.post(f"{ROOT}/{upload_id}/resume")
    again = ask(api, f"/{upload_id}/pause", key)
    assert (again.status_code, again.content) == (202, first.content)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert api.get(f"{ROOT}/{upload_id}").json()["requested"] == "run"


def test_a_confirmations_location_is_given_again(api: httpx.Client, upload_id: str, key: str) -> None:
    first, again = (ask(api, "", key, {"upload_id": upload_id}) for _ in range(2))
    assert again.headers["location"] == first.headers["location"] == f"{ROOT}/{upload_id}"
    assert (again.status_code, again.content) == (200, first.content)


def test_without_a_key_each_request_is_done(api: httpx.Client, upload_id: str) -> None:
    codes = [api.post(f"{ROOT}/{upload_id}/pause").status_code for _ in range(2)]
    assert codes == [202, 200]


def test_the_same_key_for_another_request_is_refused(api: httpx.Client, upload_id: str, key: str) -> None:
    assert ask(api, f"/{upload_id}/cancel", key, {"undo": False}).status_code == 202
    problem(ask(api, f"/{upload_id}/cancel", key, {"undo": True}), 422, "idempotency_key_reused")
    problem(ask(api, f"/{upload_id}/pause", key), 422, "idempotency_key_reused")
    problem(ask(api, f"/{upload_id}/cancel?x=1", key, {"undo": False}), 422, "idempotency_key_reused")


def test_keys_of_two_callers_do_not_meet(
    api: httpx.Client, other: httpx.Client, address: str, url: str, upload_id: str, key: str
) -> None:
    assert ask(api, f"/{upload_id}/pause", key).status_code == 202
    problem(ask(other, f"/{upload_id}/pause", key), 404, "no_such_upload")
    with gateways.client_of(address, gateways.new_key(url)) as colleague:
        assert ask(colleague, f"/{upload_id}/pause", key).status_code == 200


def test_a_refusal_that_stays_one_is_given_again(api: httpx.Client, key: str) -> None:
    first, again = (ask(api, "", key, {"upload_id": str(uuid4())}) for _ in range(2))
    problem(first, 404, "no_such_upload")
    assert again.status_code == 422, "another body, since the ids differ"
    body = {"upload_id": str(uuid4())}
    first, again = (ask(api, "", key + "x", body) for _ in range(2))
    assert (again.status_code, again.content) == (404, first.content)
    assert again.headers["content-type"] == "application/problem+json"


def test_a_conflict_frees_the_key(api: httpx.Client, key: str) -> None:
    asked = {"record_type": "member_certification", "filename": "a.csv", "size_bytes": 3}
    made = api.post(f"{ROOT}/presigned_url", json=asked).json()
    confirm = {"upload_id": made["upload_id"]}
    problem(ask(api, "", key, confirm), 409, "file_not_there")
    httpx.put(made["url"], content=b"a,b")
    assert ask(api, "", key, confirm).status_code == 202


def test_a_body_that_cannot_be_read_frees_the_key(api: httpx.Client, upload_id: str, key: str) -> None:
    problem(ask(api, "", key, {"upload_id": "nonsense"}), 422, "invalid_request")
    assert ask(api, "", key, {"upload_id": upload_id}).status_code == 200


def test_a_fault_of_ours_frees_the_key(
    api: httpx.Client, upload_id: str, key: str, database: psycopg.Connection
) -> None:
    database.execute("ALTER TABLE upload_control RENAME COLUMN requested TO other_name")
    try:
        problem(ask(api, f"/{upload_id}/pause", key), 500, "internal_error")
    finally:
        database.execute("ALTER TABLE upload_control RENAME COLUMN other_name TO requested")
    assert ask(api, f"/{upload_id}/pause", key).status_code == 202


def test_of_many_at_once_one_is_done(api: httpx.Client, upload_id: str, key: str) -> None:
    barrier = Barrier(6)

    def pause(_: int) -> httpx.Response:
        barrier.wait()
        return ask(api, f"/{upload_id}/pause", key)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(pause, range(6)))
    done = [answer for answer in answers if answer.status_code == 202]
    assert len([answer for answer in done if "idempotent-replayed" not in answer.headers]) == 1
    for answer in answers:
        if answer.status_code != 202:
            problem(answer, 409, "request_running")
            assert answer.headers["retry-after"]


@pytest.mark.parametrize(("age", "status"), [(100, 409), (130, 202)])
def test_a_request_that_was_lost_with_its_gateway_is_done_by_the_next(
    api: httpx.Client, upload_id: str, key: str, database: psycopg.Connection, age: int, status: int
) -> None:
    ask(api, f"/{upload_id}/pause", key)
    api.post(f"{ROOT}/{upload_id}/resume")
    database.execute(
        "UPDATE idempotency_keys SET status = NULL, answered_at = NULL, body = NULL,"
        " created_at = now() - %s * interval '1 second' WHERE key = %s",
        (age, key),
    )
    answer = ask(api, f"/{upload_id}/pause", key)
    assert answer.status_code == status
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "with space"])
def test_a_key_must_be_plain(api: httpx.Client, upload_id: str, key: str) -> None:
    problem(ask(api, f"/{upload_id}/pause", key), 422, "invalid_idempotency_key")
