"""A small file in one request."""

import itertools
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests import servers
from tests.contract.ways.conftest import MAX_CONTENT, Stored
from tests.problems import problem

ROOTS = {"api": "/api/v1/batch_uploads", "ui": "/staff/batch_uploads"}
PATH = f"{ROOTS['api']}/content"
TYPE = "member_certification"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def send(api: httpx.Client, body: Any, key: str | None = None, path: str = PATH, **asked: str) -> httpx.Response:
    asked = {"record_type": TYPE, "filename": "members.csv"} | asked
    return api.post(path, params=asked, content=body, headers={"Idempotency-Key": key} if key else {})


@pytest.mark.parametrize("way", ROOTS)
def test_the_body_is_the_file(api: httpx.Client, stored: Stored, way: str) -> None:
    answer = send(api, b"a,b\n1,2\n", path=f"{ROOTS[way]}/content")
    upload = answer.json()
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{ROOTS[way]}/{upload['id']}"
    assert (upload["status"], upload["source_type"], upload["size_bytes"]) == ("pending", way, 8)
    assert (upload["filename"], upload["record_type"]) == ("members.csv", TYPE)
    assert stored.content(upload["id"]) == b"a,b\n1,2\n"
    assert api.get(answer.headers["location"]).json()["id"] == upload["id"]


def test_a_form_may_hold_the_file(api: httpx.Client, stored: Stored) -> None:
    files = {"file": ("../../März.csv", b"a,b\r\n--x\r\n" * 10_000, "text/csv")}
    answer = api.post(PATH, params={"record_type": TYPE}, files=files, data={"note": "of no interest"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["filename"] == "März.csv"
    assert stored.content(answer.json()["id"]) == b"a,b\r\n--x\r\n" * 10_000


@pytest.mark.parametrize("size", [0, 1, 8 * 2**20, 8 * 2**20 + 1, 17_000_000])
def test_what_is_larger_than_a_part_is_stored_in_parts(api: httpx.Client, stored: Stored, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    answer = send(api, (data[at : at + 100_000] for at in range(0, size, 100_000)))
    assert answer.status_code == 202, answer.text
    assert answer.json()["size_bytes"] == size
    assert stored.content(answer.json()["id"]) == data


def test_the_same_key_is_the_same_upload(api: httpx.Client, stored: Stored) -> None:
    key = str(uuid4())
    first, again = send(api, b"a,b\n", key), send(api, b"a,b\n", key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert len(stored.left(first.json()["id"])) == 1
    problem(send(api, b"a,b,c\n", key), 422, "idempotency_key_reused")
    problem(send(api, b"a,c\n", key), 422, "idempotency_key_reused")  # as long as the first
    problem(send(api, b"a,b\n", key, filename="other.csv"), 422, "idempotency_key_reused")
    assert stored.content(first.json()["id"]) == b"a,b\n"


def test_of_files_that_come_at_once_under_one_key_the_key_stands_for_one(api: httpx.Client, stored: Stored) -> None:
    for _ in range(5):
        key, files = str(uuid4()), [b"a,b\n", b"a,c\n"]
        with ThreadPoolExecutor(len(files)) as pool:
            first, second = pool.map(partial(send, api, key=key), files)
        taken, refused, file = (first, second, files[0]) if first.is_success else (second, first, files[1])
        assert taken.status_code == 202
        problem(refused, 422, "idempotency_key_reused")
        assert stored.content(taken.json()["id"]) == file


def test_keys_of_the_two_ways_do_not_meet(api: httpx.Client) -> None:
    key = str(uuid4())
    ids = {send(api, b"a,b\n", key, path=f"{root}/content").json()["id"] for root in ROOTS.values()}
    assert len(ids) == 2


def test_a_file_that_is_no_text_is_refused_and_not_kept(api: httpx.Client, stored: Stored) -> None:
    key = str(uuid4())
    for body in (PNG, PNG + bytes(9_000_000)):
        answer = send(api, body, str(uuid4()))
        assert "PNG" in problem(answer, 422, "not_a_table_of_text")["detail"]
    problem(send(api, PNG, key), 422, "not_a_table_of_text")
    newest = api.get(ROOTS["api"], params={"limit": 1}).json()["items"][0]
    assert (newest["status"], newest["failure_code"], newest["accepted_at"]) == ("failed", "FMT_002", None)
    assert "PNG" in newest["failure_message"]
    assert stored.left(newest["id"]) == []
    problem(send(api, PNG, key), 422, "not_a_table_of_text")  # as before
    problem(send(api, b"a,b\n", key), 422, "idempotency_key_reused")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_that_is_too_large_is_refused_while_it_comes(
    api: httpx.Client, stored: Stored, *, chunked: bool
) -> None:
    body = b"a" * (MAX_CONTENT + 1)
    blocks = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    limit = problem(send(api, blocks if chunked else body), 413, "file_too_large")["max_upload_bytes"]
    assert limit == MAX_CONTENT
    for upload_id in stored.waiting():
        assert stored.left(upload_id) == []
    assert send(api, b"a" * MAX_CONTENT).status_code == 202


def test_a_body_without_end_is_cut(api: httpx.Client, stored: Stored) -> None:
    endless = itertools.repeat(b"a" * 10_000)
    with suppress(httpx.TransportError):  # it may be cut before the answer is read
        assert send(api, endless).status_code == 413
    for upload_id in stored.waiting():
        assert stored.left(upload_id) == []


@contextmanager
def raw(api: httpx.Client, length: str) -> Iterator[socket.socket]:
    """A connection on which a request has said of its body what it likes."""
    at = urlsplit(str(api.base_url))
    asked = urlencode({"record_type": TYPE, "filename": "x.csv"})
    with socket.create_connection((str(at.hostname), at.port or 0), timeout=20) as line:
        line.sendall(
            f"POST {PATH}?{asked} HTTP/1.1\r\nHost: x\r\nAuthorization: {api.headers['Authorization']}\r\n"
            f"{length}\r\n\r\n".encode()
        )
        yield line


@pytest.mark.parametrize(
    ("length", "sent"),
    [
        ("Content-Length: 1000", b"a,b\n"),
        ("Content-Length: 15000000", b"a,b\n" * 3_000_000),
        ("Transfer-Encoding: chunked", b"4\r\na,b\n\r\n"),
    ],
)
def test_a_body_that_breaks_off_is_not_taken(api: httpx.Client, stored: Stored, length: str, sent: bytes) -> None:
    before = set(stored.waiting())
    with raw(api, length) as line:
        line.sendall(sent)
        servers.until(lambda: bool(set(stored.waiting()) - before), what="the upload")
    (upload_id,) = set(stored.waiting()) - before
    servers.until(lambda: not stored.left(upload_id), what="the removal of what was stored")
    assert api.get(f"{ROOTS['api']}/{upload_id}").json()["status"] == "awaiting_upload"


def test_a_body_that_broke_off_may_be_sent_again_with_its_key(api: httpx.Client, stored: Stored) -> None:
    key = str(uuid4())
    before = set(stored.waiting())
    with raw(api, f"Content-Length: 1000\r\nIdempotency-Key: {key}") as line:
        line.sendall(b"a,b\n")
        servers.until(lambda: bool(set(stored.waiting()) - before), what="the upload")
    (upload_id,) = set(stored.waiting()) - before
    answer = send(api, b"a,b\n", key, filename="x.csv")
    assert (answer.status_code, answer.json()["id"]) == (202, upload_id)


def test_no_more_are_taken_at_a_time_than_may_be(api: httpx.Client, stored: Stored) -> None:
    before = set(stored.waiting())
    with raw(api, "Content-Length: 1000"), raw(api, "Content-Length: 1000"):
        servers.until(lambda: len(set(stored.waiting()) - before) == 2, what="two uploads")
        answer = send(api, b"a,b\n")
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"]
    servers.until(lambda: send(api, b"a,b\n").status_code == 202, what="a free turn")


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("multipart/form-data", b"", "boundary"),
        ("multipart/form-data; boundary=x", b"", "last boundary"),
        ("multipart/form-data; boundary=x", b"nonsense", ""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc", "last boundary"),
        ("multipart/form-data; boundary=" + "x" * 300, b"", ""),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n',
            "no part `file`",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n' * 2 + b"--x--\r\n",
            "two parts",
        ),
    ],
)
def test_a_form_must_hold_one_file(
    api: httpx.Client, stored: Stored, content_type: str, body: bytes, said: str
) -> None:
    headers = {"Content-Type": content_type}
    asked = {"record_type": TYPE, "filename": "x.csv"}
    answer = api.post(PATH, params=asked, content=body, headers=headers)
    assert said in problem(answer, 422, "not_a_form")["detail"]
    for upload_id in stored.waiting():
        assert stored.left(upload_id) == []


def test_a_form_without_a_file_is_told_so_before_it_is_asked_for_a_name(api: httpx.Client) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n'
    answer = api.post(
        PATH, params={"record_type": TYPE}, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert "no part `file`" in problem(answer, 422, "not_a_form")["detail"]


def test_what_a_refused_or_broken_body_left_waiting_can_be_ended(api: httpx.Client, stored: Stored) -> None:
    key, before = str(uuid4()), set(stored.waiting())
    with raw(api, f"Content-Length: 1000\r\nIdempotency-Key: {key}") as line:
        line.sendall(b"a,b\n")
        servers.until(lambda: bool(set(stored.waiting()) - before), what="the upload")
    (upload_id,) = set(stored.waiting()) - before
    answers = [api.post(f"{ROOTS['api']}/{upload_id}/cancel") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    for answer in answers:
        assert (answer.json()["status"], answer.json()["failure_code"]) == ("failed", "S3_004")
    assert upload_id not in stored.waiting()
    assert stored.left(upload_id) == []
    problem(send(api, b"a,b\n", key, filename="x.csv"), 409, "upload_given_up")


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"filename": "a"}, "invalid_request"),
        ({"record_type": TYPE}, "invalid_request"),
        ({"record_type": TYPE, "filename": "folder/"}, "invalid_request"),
        ({"record_type": TYPE, "filename": "x" * 256}, "invalid_request"),
        ({"record_type": "things", "filename": "a"}, "unknown_record_type"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(api: httpx.Client, asked: dict[str, str], kind: str) -> None:
    problem(api.post(PATH, params=asked, content=b"a"), 422, kind)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x00b.csv", "\u202egnp.csv", "%2e%2e%2f", "x" * 255, "'; DROP--"]
)
def test_the_filename_is_only_data(api: httpx.Client, stored: Stored, name: str) -> None:
    upload_id = send(api, b"a,b\n", filename=name).json()["id"]
    assert stored.place(upload_id)[1].split("/")[-1].startswith(upload_id)
    assert len(stored.left(upload_id)) == 1


def test_nobody_without_a_key_gets_anything_stored(address: str, stored: Stored) -> None:
    before = stored.waiting()
    answer = httpx.post(address + PATH, params={"record_type": TYPE, "filename": "a"}, content=b"a")
    problem(answer, 401, "unauthorized")
    assert stored.waiting() == before
