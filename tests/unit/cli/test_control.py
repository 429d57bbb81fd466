"""What the commands ask of the API, and what they say of its answers; a small server plays the API."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.cli.support import Result, run, upload

ID = "019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f"
LETTER = "019c2f6e-5d1b-7cc3-98c4-dc0c0c073990"
ROOT = "/api/v1/batch_uploads"
WRONG_STATE = {"detail": f"upload {ID}: cannot pause it: it is completed, and nothing of it runs any more"}


def letter(**changes: Any) -> dict[str, Any]:
    shown = {
        "id": LETTER,
        "upload_id": ID,
        "filename": "things.csv",
        "upload_status": "failed",
        "chunk_number": 3,
        "attempt": 1,
        "error_code": "UNK_003",
        "reason": "the chunk cannot be read: it is cut off",
        "tries": 6,
        "records": 1_000,
        "first_row": 3_002,
        "last_row": 7_001,
        "created_at": "2026-02-03T04:05:06Z",
        "redriven_at": None,
    }
    return {**shown, **changes}


@dataclass
class Api:
    """Answers by method and path: each answer once, the last one for ever."""

    address: str = ""
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def run(self, *arguments: str) -> Result:
        return run(*arguments, ROWSTREAM_URL=self.address, ROWSTREAM_API_KEY="rs_x")

    def answer(self, request: str, body: Any) -> tuple[int, Any]:
        self.asked.append((request, body))
        waiting = self.answers[request.partition("?")[0]]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@pytest.fixture
def api() -> Iterator[Api]:
    played = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            code, said = played.answer(f"{self.command} {self.path}", json.loads(self.rfile.read(length) or "null"))
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class names it so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        played.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield played
        server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "request_body", "reached", "said"),
    [
        (
            ["pause"],
            None,
            {"status": "paused", "total_records": None},
            "· things.csv paused, with the outcome of 20 rec",
        ),
        (["resume"], None, {"status": "processing", "total_records": None}, "· things.csv processing\n"),
        (["cancel"], {"undo": False}, {"status": "cancelled"}, "its 17 loaded rows stay\n"),
        (
            ["cancel", "--undo"],
            {"undo": True},
            {"status": "cancelled", "undo": True, "undone_at": "2026-02-03T04:05:09Z", "undone_records": 17},
            "17 loaded rows taken out again\n",
        ),
    ],
)
def test_a_command_asks_and_waits_until_the_upload_has_followed(
    api: Api, arguments: list[str], request_body: object, reached: dict[str, Any], said: str
) -> None:
    verb, *options = arguments
    before = upload(status="paused" if verb == "resume" else "processing", total_records=None)
    after = upload(requested="cancel" if verb == "cancel" else "run", **reached)
    api.answers = {f"POST {ROOT}/{ID}/{verb}": [(202, before)], f"GET {ROOT}/{ID}": [(200, before), (200, after)]}
    result = api.run(verb, ID, *options)
    assert (result.code, said in result.out, result.err.count("rowstream:")) == (0, True, 0), result
    assert api.asked[0] == (f"POST {ROOT}/{ID}/{verb}", request_body)
    assert json.loads(api.run(verb, ID, *options, "--json").out) == after


def test_a_pause_that_comes_too_late_shows_what_became_of_the_upload(api: Api) -> None:
    api.answers = {f"POST {ROOT}/{ID}/pause": [(202, upload())], f"GET {ROOT}/{ID}": [(200, upload())]}
    result = api.run("pause", ID)
    assert (result.code, result.out, result.err) == (
        *(0, "✓ things.csv completed: 20 records in 2.0 s (10 records/s)\n"),
        "",
    )


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((409, WRONG_STATE), 1, f"rowstream: {WRONG_STATE['detail']} (HTTP 409)\n"),
        ((404, {"detail": "no"}), 1, f"rowstream: there is no upload {ID}; `rowstream status` lists the newest\n"),
    ],
)
def test_what_the_api_refuses_is_one_line(api: Api, verb: str, answer: tuple[int, Any], code: int, said: str) -> None:
    api.answers = {f"POST {ROOT}/{ID}/{verb}": [answer]}
    result = api.run(verb, ID)
    assert (result.code, result.out, result.err) == (code, "", said)


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
def test_what_is_no_id_is_wrong_usage(api: Api, verb: str) -> None:
    result = api.run(verb, "members.csv")
    assert (result.code, result.err) == (
        2,
        "rowstream: 'members.csv' is no id of an upload; `rowstream status` lists the newest\n",
    )
    assert api.asked == []


def test_a_retry_leaves_at_once_in_a_script(api: Api) -> None:
    api.answers = {f"POST {ROOT}/{ID}/retry": [(202, upload(status="pending", attempt=2))]}
    result = api.run("retry", ID)
    assert result.code == 0
    attempt, headline, hint = result.out.splitlines()
    assert (attempt, headline) == ("attempt 2", "· things.csv pending"), "nothing of what the attempt before came to"
    assert f"rowstream status {ID}" in hint


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
def test_a_retry_that_is_waited_for_exits_by_its_end(api: Api, status: str, code: int) -> None:
    begun = upload(status="pending", attempt=2)
    api.answers = {
        f"POST {ROOT}/{ID}/retry": [(202, begun)],
        f"GET {ROOT}/{ID}": [(200, begun), (200, upload(status=status, attempt=2))],
    }
    result = api.run("retry", ID, "--wait", "--json")
    assert (result.code, json.loads(result.out)["status"]) == (code, status)


def test_dead_letters_are_listed(api: Api) -> None:
    page = {"items": [letter(), letter(first_row=None, last_row=None)], "next_cursor": None}
    api.answers = {"GET /api/v1/dead_letters": [(200, page)]}
    first, second = api.run("dead-letters", "list", "--upload", ID).out.splitlines()[1:]
    assert first.split()[:8] == [LETTER, ID, "3,002", "to", "7,001", "1,000", "UNK_003", "6"]
    assert second.split()[:4] == [LETTER, ID, "1,000", "UNK_003"]
    assert f"upload_id={ID}" in api.asked[0][0]
    assert json.loads(api.run("dead-letters", "list", "--json").out) == page
    assert api.run("dead-letters", "list", "--upload", "x").code == 2


def test_a_list_of_dead_letters_goes_on_where_the_page_before_ended(api: Api) -> None:
    api.answers = {"GET /api/v1/dead_letters": [(200, {"items": [letter()], "next_cursor": "abc"})]}
    assert "--cursor abc" in api.run("dead-letters", "list").err
    api.run("dead-letters", "list", "--cursor", "abc")
    assert "cursor" not in api.asked[0][0]
    assert "cursor=abc" in api.asked[1][0]


def test_a_cursor_that_is_none_is_wrong_usage(api: Api) -> None:
    api.answers = {"GET /api/v1/dead_letters": [(422, {"detail": "cursor is not one"})]}
    result = api.run("dead-letters", "list", "--cursor", "nonsense")
    assert result.code == 2
    assert "'nonsense' is no next_cursor of this list" in result.err


def test_an_empty_list_says_so_and_of_whom(api: Api) -> None:
    api.answers = {
        "GET /api/v1/dead_letters": [(200, {"items": [], "next_cursor": None})],
        f"GET {ROOT}/{ID}": [(200, upload()), (404, {"detail": "no"})],
    }
    assert api.run("dead-letters", "list").out == "nothing was given up on\n"
    assert api.run("dead-letters", "list", "--upload", ID).out == "nothing was given up on\n"
    unknown = api.run("dead-letters", "list", "--upload", ID)
    assert unknown.code == 1
    assert unknown.err == f"rowstream: there is no upload {ID}; `rowstream status` lists the newest\n"


def test_a_dead_letter_is_shown_with_the_way_out(api: Api) -> None:
    api.answers = {f"GET /api/v1/dead_letters/{LETTER}": [(200, letter()), (200, letter(redriven_at="2026-02-04T00Z"))]}
    shown = api.run("dead-letters", "show", LETTER).out
    assert "1,000 records of rows 3,002 to 7,001" in shown
    assert "UNK_003: the chunk cannot be read" in shown
    assert shown.endswith(f"when its cause is gone: rowstream dead-letters redrive {LETTER}\n")
    assert "redrive " not in api.run("dead-letters", "show", LETTER).out


def test_to_redrive_is_to_retry_the_upload(api: Api) -> None:
    api.answers = {
        f"GET /api/v1/dead_letters/{LETTER}": [(200, letter())],
        f"POST {ROOT}/{ID}/retry": [(202, upload(status="pending", attempt=2))],
    }
    assert json.loads(api.run("dead-letters", "redrive", LETTER, "--json").out)["attempt"] == 2
    assert [request for request, _ in api.asked][-1] == f"POST {ROOT}/{ID}/retry"


def test_nothing_is_said_to_be_redriven_that_is_not(api: Api) -> None:
    api.answers = {
        f"GET /api/v1/dead_letters/{LETTER}": [(200, letter())],
        f"POST {ROOT}/{ID}/retry": [(409, WRONG_STATE)],
    }
    refused = api.run("dead-letters", "redrive", LETTER)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.splitlines() == [f"rowstream: {WRONG_STATE['detail']} (HTTP 409)"]


@pytest.mark.parametrize("verb", ["show", "redrive"])
def test_a_dead_letter_that_nobody_knows_is_one_line(api: Api, verb: str) -> None:
    api.answers = {f"GET /api/v1/dead_letters/{LETTER}": [(404, {"detail": "no"})]}
    unknown, unreadable = api.run("dead-letters", verb, LETTER), api.run("dead-letters", verb, "x")
    assert (unknown.code, unreadable.code) == (1, 2)
    assert unknown.err == (f"rowstream: there is no dead letter {LETTER}; `rowstream dead-letters list` shows them\n")
    assert unreadable.err == "rowstream: 'x' is no id of a dead letter; `rowstream dead-letters list` shows them\n"
