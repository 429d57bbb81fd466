"""Sending a file in parts past faults that real servers do not show on request; real ones are used in tests/e2e."""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rowstream.cli import crew
from rowstream.cli.begun import Begun, state_folder
from rowstream.cli.client import ApiError, Target, api
from rowstream.cli.local_file import NotSent, local_file
from rowstream.cli.options import WrongUsage
from rowstream.cli.sending import Interrupted, send

KEY = "rs_secret"
PART = 100_000
DATA = b"0123456789" * 45_000  # four parts and a half


class Server(ThreadingHTTPServer):
    """The API and the object store in one; answers as it is told, and remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.failures: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.asked: Counter[str] = Counter()
        self.sent: Counter[int] = Counter()
        self.uploads: dict[str, str] = {}
        self.status = "awaiting_upload"
        self.stored: dict[int, bytes] = {}
        self.keys_seen_by_store: set[str | None] = set()
        self.signatures = 0
        self.valid_from = 0
        self.lock = threading.Lock()
        self.meet = threading.Barrier(1)

    def handle_error(self, *_: object) -> None:
        """Clients of these tests break off; nobody needs to read so."""

    @property
    def whole(self) -> bytes:
        return b"".join(self.stored[number] for number in sorted(self.stored))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.meet.wait(30)
        asked = parse_qs(urlsplit(self.path).query)
        number, signature = int(asked["part"][0]), int(asked["signature"][0])
        with self.server.lock:
            self.server.sent[number] += 1
            self.server.keys_seen_by_store.add(self.headers["Authorization"])
        failures = self.server.failures.get(f"part {number}")
        if failures:
            self._say(*failures.pop(0))
        elif signature <= self.server.valid_from:
            self._say(403, {"<Code>AccessDenied</Code><Message>Request has expired</Message>": ""})
        else:
            self.server.stored[number] = body
            self._say(200, {})

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        what = self.path.rpartition("/")[2]
        failures = self.server.failures.get(what)
        self.server.asked[what] += 1
        if failures:
            self._say(*failures.pop(0))
        elif what == "multipart":
            upload_id = self.server.uploads.setdefault(
                self.headers["Idempotency-Key"], f"u{len(self.server.uploads) + 1}"
            )
            if self.server.status == "awaiting_upload":
                self._say(201, {"upload_id": upload_id, "part_bytes": PART, "parts": 5})
            else:
                self._say(409, {"upload_id": upload_id, "detail": "gone on"})
        elif what == "parts":
            with self.server.lock:
                self.server.signatures += 1
            store = f"{self.server.url}/store?signature={self.server.signatures}&part="
            self._say(200, {"items": [{"number": n, "url": f"{store}{n}"} for n in json.loads(said)["numbers"]]})
        else:
            self.server.status = "pending"
            self._say(202, {"id": self.path.split("/")[-2], "status": "pending"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not url.path.endswith("/parts"):
            accepted = self.server.status == "pending"
            self._say(200, {"id": url.path.rpartition("/")[2], "status": self.server.status, "accepted_at": accepted})
            return
        after = int(parse_qs(url.query).get("cursor", ["0"])[0])
        page = [number for number in sorted(self.server.stored) if number > after][:2]
        more = str(page[-1]) if len(page) == 2 else None
        items = [{"number": number, "size_bytes": len(self.server.stored[number])} for number in page]
        self._say(200, {"items": items, "next_cursor": more})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        answer = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

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


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "things.csv"
    path.write_bytes(DATA)
    return path


def sent_by(
    server: Server, path: Path, *, resume: bool = True, record_type: str = "things", parts_above: int = 0
) -> list[int]:
    """Send the file; returns the progress that was told."""
    progress: list[int] = []
    with local_file(path) as file, api(Target(server.url, KEY)) as client:
        found = send(client, file, record_type, progress.append, parts_above=parts_above, resume=resume)
    assert found["status"] == "pending"
    return progress


def test_a_file_is_sent_in_parts_some_side_by_side(server: Server, path: Path) -> None:
    path.write_bytes(DATA[: 4 * PART])
    server.meet = threading.Barrier(crew.AT_ONCE)
    progress = sent_by(server, path)
    assert server.whole == DATA[: 4 * PART]
    assert set(server.sent.values()) == {1}
    assert server.asked == {"multipart": 1, "parts": 1, "complete": 1}
    assert (progress[0], progress[-1]) == (0, 4 * PART)
    assert progress == sorted(progress)
    assert server.keys_seen_by_store == {None}
    assert not list(state_folder().glob("*"))


def test_a_part_that_fails_for_a_moment_is_sent_again(server: Server, path: Path) -> None:
    server.failures = {"part 2": [(503, {}), (500 + 3, {})], "multipart": [(503, {})], "complete": [(503, {})]}
    progress = sent_by(server, path)
    assert server.whole == DATA
    assert server.sent == {1: 1, 2: 3, 3: 1, 4: 1, 5: 1}
    assert len(server.uploads) == 1
    assert progress[-1] == len(DATA)


def test_an_address_that_has_run_out_is_asked_for_anew(server: Server, path: Path) -> None:
    """Uppy 5961: addresses of parts run out in the middle of sending."""
    server.valid_from = 1
    sent_by(server, path)
    assert server.whole == DATA


def test_a_store_that_refuses_says_so_and_what_it_took_is_gone_on_with(server: Server, path: Path) -> None:
    refusal = (403, {"<Code>QuotaExceeded</Code>": ""})
    server.failures = {"part 3": [refusal, refusal]}
    with pytest.raises(NotSent, match=r"did not take things.csv: .*the same command goes on from there"):
        sent_by(server, path)
    assert 3 not in server.stored
    there = {number for number, _ in server.stored.items()}
    before = Counter(server.sent)
    progress = sent_by(server, path)
    assert server.whole == DATA
    assert len(server.uploads) == 1
    assert {number for number in server.sent if server.sent[number] == before[number]} == there
    assert progress[0] == sum(PART if number < 5 else PART // 2 for number in there)


def test_it_goes_on_after_ctrl_c(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: crew.Crew, numbers: list[int]) -> None:
        run(self, numbers[:2])
        raise KeyboardInterrupt

    run = crew.Crew.run
    with monkeypatch.context() as patch:
        patch.setattr(crew.Crew, "run", interrupted)
        with pytest.raises(Interrupted):
            sent_by(server, path)
    assert set(server.stored) == {1, 2}
    sent_by(server, path)
    assert set(server.sent.values()) == {1}
    assert server.whole == DATA


def begun_and_broken_off(server: Server, path: Path) -> None:
    server.failures = {"complete": [(400, {})]}
    with pytest.raises(ApiError):
        sent_by(server, path)
    server.sent.clear()


def test_what_was_begun_in_parts_is_gone_on_with_whatever_counts_as_large_now(server: Server, path: Path) -> None:
    begun_and_broken_off(server, path)
    progress = sent_by(server, path, parts_above=10**12)
    assert progress == [len(DATA)]
    assert not server.sent
    assert list(server.uploads.values()) == ["u1"]


def test_a_user_without_a_home_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    begun = Begun({"path": "a.csv"}, state_folder({}))
    assert begun.key() is None
    assert not begun.remember("k")


def test_no_resume_begins_anew(server: Server, path: Path) -> None:
    begun_and_broken_off(server, path)
    server.stored.clear()
    sent_by(server, path, resume=False)
    assert list(server.uploads.values()) == ["u1", "u2"]
    assert server.whole == DATA


@pytest.mark.parametrize("change", ["content", "time", "record type"])
def test_another_file_or_record_type_is_another_upload(server: Server, path: Path, change: str) -> None:
    begun_and_broken_off(server, path)
    server.stored.clear()
    if change == "content":
        path.write_bytes(DATA + b"x")
    elif change == "time":
        os.utime(path, (1, 1))
    sent_by(server, path, record_type="others" if change == "record type" else "things")
    assert list(server.uploads.values()) == ["u1", "u2"]


def test_an_upload_that_was_accepted_before_its_answer_came_is_not_made_twice(server: Server, path: Path) -> None:
    begun_and_broken_off(server, path)
    server.status = "pending"
    assert sent_by(server, path) == []
    assert (list(server.uploads.values()), server.sent) == (["u1"], {})
    assert not list(state_folder().glob("*"))


def test_an_upload_that_was_given_up_meanwhile_is_begun_anew(server: Server, path: Path) -> None:
    begun_and_broken_off(server, path)
    server.stored.clear()
    server.failures = {"multipart": [(409, {"upload_id": "u1", "detail": "given up"})]}
    sent_by(server, path)
    assert list(server.uploads.values()) == ["u1", "u2"]


def test_a_refusal_is_not_gone_on_with(server: Server, path: Path) -> None:
    server.failures = {"complete": [(422, {"detail": "it looks like a picture"})]}
    with pytest.raises(ApiError, match="a picture"):
        sent_by(server, path)
    assert not list(state_folder().glob("*"))


def test_what_the_api_does_not_take_is_wrong_usage(server: Server, path: Path) -> None:
    server.failures = {"multipart": [(422, {"detail": "unknown record type"})]}
    with pytest.raises(WrongUsage, match="unknown record type"):
        sent_by(server, path)
    assert not server.sent


@pytest.mark.parametrize("change", [lambda path: os.utime(path, (1, 1)), lambda path: os.truncate(path, 150_000)])
def test_a_file_that_changes_meanwhile_is_not_completed(server: Server, path: Path, change: Any) -> None:
    with local_file(path) as file, api(Target(server.url, KEY)) as client, pytest.raises(NotSent):
        send(client, file, "things", lambda _: change(path), parts_above=0)
    assert server.asked["complete"] == 0


def test_a_state_folder_that_cannot_be_written_only_costs_the_going_on(
    server: Server, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    sent_by(server, path)
    assert server.whole == DATA


@pytest.mark.parametrize("said", ["", "{", "[]", '{"idempotency_key": 3}', "\udcff"])
def test_what_is_remembered_and_cannot_be_read_is_nothing(tmp_path: Path, said: str) -> None:
    begun = Begun({"path": "a", "size": 1}, tmp_path)
    assert begun.key() is None
    assert begun.remember("k")
    assert begun.key() == "k"
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(said.encode("utf-8", "surrogateescape"))
    assert begun.key() is None
    begun.forget()
    begun.forget()
