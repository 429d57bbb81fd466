import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from rowstream.cli.client import ApiError, NoSystem, NotLetIn, Target, api, explain, find
from rowstream.cli.options import WrongUsage
from rowstream.stack import ports
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir
from tests.unit.cli.support import run


@pytest.fixture
def running(tmp_path: Path) -> Path:
    Addresses(
        gateway="http://here:8000", broker="", database="", storage="", bucket="", api_key="rs_here", metrics={}
    ).save(StateDir(tmp_path))
    return tmp_path


def test_the_system_on_the_state_folder_is_found(running: Path) -> None:
    assert find(running, {}) == Target("http://here:8000", "rs_here")


def test_the_environment_wins(running: Path) -> None:
    environment = {"ROWSTREAM_URL": "https://there/", "ROWSTREAM_API_KEY": "rs_there"}
    assert find(running, environment) == Target("https://there", "rs_there")
    assert find(running, {"ROWSTREAM_API_KEY": "rs_there"}) == Target("http://here:8000", "rs_there")


def test_the_key_of_the_state_folder_is_for_its_system_alone(running: Path) -> None:
    assert find(running, {"ROWSTREAM_URL": "http://here:8000/"}) == Target("http://here:8000", "rs_here")
    with pytest.raises(NoSystem, match=r"https://there, and ROWSTREAM_API_KEY is not"):
        find(running, {"ROWSTREAM_URL": "https://there"})


def test_a_program_that_holds_the_port_of_the_api_gets_no_key(url: str, tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    Addresses(gateway=url, broker="", database="", storage="", bucket="", api_key="rs_here", metrics={}).save(state)
    for holder in (None, os.getpid()):
        if holder:
            state.write("lock", str(holder))
        with pytest.raises(NoSystem, match=rf"is held by .* \(process {os.getpid()}\), which gets no key"):
            find(tmp_path, {"ROWSTREAM_API_KEY": "rs_there"})
    state.write("lock", str(os.getppid()))  # who listens is its child
    assert find(tmp_path, {}) == Target(url, "rs_here")


@pytest.mark.parametrize(
    ("environment", "said"),
    [({}, "no system runs on .*`rowstream up`"), ({"ROWSTREAM_URL": "https://there"}, "ROWSTREAM_API_KEY is not")],
)
def test_what_is_missing_is_said(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(NoSystem, match=said):
        find(tmp_path, environment)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8055", "has to begin with http://"),
        ("rowstream.example", "has to begin with http://"),
        ("ftp://there", "has to begin with http://"),
        ("https://", "has to begin|names no host"),
        ("http://there:port", "Port could not be cast"),
    ],
)
def test_what_is_no_url_is_said_as_such(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=rf"ROWSTREAM_URL is '.*', which is no URL .*({said})"):
        find(tmp_path, {"ROWSTREAM_URL": url, "ROWSTREAM_API_KEY": "rs_there"})


def test_a_key_is_not_shown() -> None:
    assert "rs_" not in repr(Target("https://there", "rs_secret"))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ({"title": "Not Found", "detail": "there is no upload 7"}, "there is no upload 7 (HTTP 404)"),
        ({"title": "Not Found"}, "Not Found (HTTP 404)"),
        ({}, "the API refused without saying why (HTTP 404)"),
        (
            {"detail": "wrong", "errors": [{"loc": ["body", "filename"], "msg": "is missing"}, "odd"]},
            "wrong: body.filename: is missing; odd (HTTP 404)",
        ),
        (
            {"detail": "wrong", "errors": [{"field": "size_bytes", "message": "too large"}]},
            "wrong: size_bytes: too large (HTTP 404)",
        ),
        ({"detail": "wrong", "errors": [{"pointer": "/a"}]}, "wrong: /a: is wrong (HTTP 404)"),
    ],
)
def test_a_problem_in_one_line(problem: dict[str, object], said: str) -> None:
    assert explain(404, problem) == said


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to the right key, a problem to a wrong one, and a page of a proxy to /page."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == "Bearer rs_right"
        status, body = (
            (200, b'{"items": []}') if right else (401, b'{"title": "Unauthorized", "detail": "unknown key"}')
        )
        if self.path == "/page":
            status, body = 502, b"<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_key_is_sent_along(url: str) -> None:
    with api(Target(url, "rs_right")) as client:
        assert client.get("/api/v1/batch_uploads").json() == {"items": []}


def test_a_refusal_is_raised_with_its_reason(url: str) -> None:
    with pytest.raises(NotLetIn, match=r"^unknown key \(HTTP 401\)$") as caught, api(Target(url, "wrong")) as client:
        client.get("/")
    assert caught.value.status == 401
    assert caught.value.problem["title"] == "Unauthorized"
    with pytest.raises(ApiError, match=r"^Bad Gateway \(HTTP 502\)$"), api(Target(url, "rs_right")) as client:
        client.get("/page")


@pytest.mark.parametrize(
    "verb", [("status",), ("upload", "--record-type", "things", __file__), ("errors", f"{UUID(int=1)}")]
)
def test_whoever_is_not_let_in_is_told_so_by_one_exit_code(verb: tuple[str, ...], url: str, tmp_path: Path) -> None:
    environment = {"ROWSTREAM_URL": url, "ROWSTREAM_API_KEY": "rs_wrong", "XDG_STATE_HOME": str(tmp_path)}
    result = run(*verb, **environment)
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("rowstream: unknown key (HTTP 401)\n")


def test_nobody_there_is_no_system() -> None:
    port = ports.choose(["free"], {})["free"]
    target = Target(f"http://127.0.0.1:{port}", "key")
    with pytest.raises(NoSystem, match=r"nothing answers at .*rowstream doctor"), api(target) as client:
        client.get("/")
