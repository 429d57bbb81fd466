"""Sending a file past faults that real servers do not show on request; real ones are used in tests/e2e."""

import json
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rowstream.cli import asking
from rowstream.cli.client import Target, api
from rowstream.cli.local_file import NotSent, local_file
from rowstream.cli.options import WrongUsage
from rowstream.cli.sending import send

KEY = "rs_secret"
ACCESS_DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Expired</Message></Error>"


class Server(ThreadingHTTPServer):
    """The API and the object store in one; answers as it is told, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.method = "PUT"
        self.failures: dict[str, list[tuple[int, bytes]]] = {}
        self.statuses = ["processing", "completed"]
        self.asked: Counter[str] = Counter()
        self.idempotency_keys: list[str] = []
        self.stored: list[bytes] = []
        self.keys_seen_by_store: list[str | None] = []

    def handle_error(self, *_: object) -> None:
        """Clients of these tests break off; nobody needs to read so."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self._answer("store" if self.path == "/store" else self.path.rpartition("/")[2])

    def do_PUT(self) -> None:
        self._answer("store")

    def do_GET(self) -> None:
        self._answer("errors" if "/errors" in self.path else "upload")

    def _answer(self, what: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.asked[what] += 1
        if what == "presigned_url":
            self.server.idempotency_keys.append(self.headers["Idempotency-Key"])
        if what == "store":
            self.server.stored.append(body)
            self.server.keys_seen_by_store.append(self.headers["Authorization"])
        failures = self.server.failures.get(what)
        status, answer = failures.pop(0) if failures else (200, self._content(what))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer) + (100 if what == "errors" else 0)))
        self.end_headers()
        self.wfile.write(answer)

    def _content(self, what: str) -> bytes:
        place = {"upload_id": "u1", "method": self.server.method, "url": f"{self.server.url}/store"}
        answers: dict[str, Any] = {
            "presigned_url": place | {"fields": {"key": "k", "policy": "p"}},
            "batch_uploads": {"id": "u1", "status": "pending"},
            "upload": {"id": "u1", "status": self.server.statuses[0]},
        }
        if what == "upload" and len(self.server.statuses) > 1:
            self.server.statuses.pop(0)
        return b"row_number\r\n" if what == "errors" else json.dumps(answers.get(what, {})).encode()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 600_000)
    return path


def sent_by(server: Server, path: Path) -> list[int]:
    """Send the file; returns the progress that was told."""
    progress: list[int] = []
    with local_file(path) as file, api(Target(server.url, KEY)) as client:
        assert send(client, file, "things", progress.append, parts_above=10**12) == {"id": "u1", "status": "pending"}
    return progress


def test_a_file_is_sent_as_it_is(server: Server, path: Path) -> None:
    progress = sent_by(server, path)
    assert server.stored == [path.read_bytes()]
    assert progress[0] == 0
    assert progress[-1] == path.stat().st_size
    assert progress == sorted(progress)
    assert len(progress) == 4


def test_the_store_never_sees_the_key_of_the_api(server: Server, path: Path) -> None:
    sent_by(server, path)
    assert server.keys_seen_by_store == [None]


def test_failures_that_pass_make_no_second_upload(server: Server, path: Path) -> None:
    unavailable = (503, b"{}")
    server.failures = {"presigned_url": [unavailable], "store": [(500 + 3, b"")], "batch_uploads": [unavailable]}
    progress = sent_by(server, path)
    assert server.asked == {"presigned_url": 2, "store": 2, "batch_uploads": 2}
    assert len(set(server.idempotency_keys)) == 1
    assert server.stored == [path.read_bytes()] * 2
    assert progress.count(0) == 2


def test_a_form_has_its_fields_before_the_file(server: Server, path: Path) -> None:
    server.method, server.failures = "POST", {"store": [(503, b"")]}
    progress = sent_by(server, path)
    form = server.stored[-1]
    assert form.index(b'name="key"') < form.index(b'name="policy"') < form.index(b'name="file"')
    assert b"\r\n\r\n" + path.read_bytes() + b"\r\n--" in form
    assert progress[-1] == path.stat().st_size


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_empty_file_is_sent_too(server: Server, method: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.touch()
    server.method = method
    assert sent_by(server, path) == [0]
    assert len(server.stored) == 1


def test_a_large_file_is_never_held_in_memory(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    server.failures = {"store": [(403, b"")]}
    tracemalloc.start()
    try:
        with pytest.raises(NotSent):
            sent_by(server, path)
        peak = tracemalloc.get_traced_memory()[1] - 100_000_000  # what the server of this test holds
    finally:
        tracemalloc.stop()
    assert len(server.stored[0]) == 100_000_000
    assert peak < 20_000_000


def test_the_stores_refusal_is_told(server: Server, path: Path) -> None:
    server.failures = {"store": [(403, ACCESS_DENIED)]}
    said = rf"store at {server.url[7:]} did not take things.csv: AccessDenied: Expired \(HTTP 403\)"
    with pytest.raises(NotSent, match=said):
        sent_by(server, path)
    assert server.asked["batch_uploads"] == 0


def test_a_file_that_changes_meanwhile_is_not_confirmed(server: Server, path: Path) -> None:
    with (
        local_file(path) as file,
        api(Target(server.url, KEY)) as client,
        pytest.raises(NotSent, match="changed while it was sent"),
    ):
        send(client, file, "things", lambda _: os.utime(path, (1, 1)))
    assert server.asked["batch_uploads"] == 0


def test_a_file_that_shrinks_meanwhile_is_not_confirmed(server: Server, path: Path) -> None:
    with (
        local_file(path) as file,
        api(Target(server.url, KEY)) as client,
        pytest.raises(NotSent, match="changed while it was sent"),
    ):
        send(client, file, "things", lambda _: os.truncate(path, 10))
    assert server.asked["batch_uploads"] == 0


def test_what_the_api_does_not_take_is_wrong_usage(server: Server, path: Path) -> None:
    server.failures = {"presigned_url": [(422, b'{"detail": "unknown record type"}')]}
    with pytest.raises(WrongUsage, match="unknown record type"):
        sent_by(server, path)
    assert server.asked["store"] == 0


def test_what_is_no_file_is_wrong_usage(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("nothing", "cannot be read: No such file"), ("", "is a folder"), ("pipe", "is no plain file")):
        with pytest.raises(WrongUsage, match=said):
            local_file(tmp_path / name).__enter__()


def test_an_upload_is_followed_to_its_end(server: Server) -> None:
    server.statuses = ["pending", "processing", "completed"]
    server.failures = {"upload": [(503, b"{}")]}
    seen: list[str] = []
    with api(Target(server.url, KEY)) as client:
        last = asking.follow(client, "u1", lambda upload: seen.append(upload["status"]))
    assert seen == ["pending", "processing", "completed"]
    assert last["status"] == "completed"


def test_half_a_report_is_not_taken_for_a_whole_one(server: Server) -> None:
    blocks: list[bytes] = []
    with api(Target(server.url, KEY)) as client, pytest.raises(asking.CutOff, match="what came is not all"):
        blocks.extend(asking.report(client, "u1", "csv"))


def test_an_id_is_never_a_path(server: Server) -> None:
    with api(Target(server.url, KEY)) as client:
        assert asking.upload(client, "../u?1")["id"] == "u1"
