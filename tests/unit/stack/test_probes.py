import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rowstream.stack import ports
from rowstream.stack.probes import answers_ready, listens, waiting_for


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_service_is_ready_when_it_says_so() -> None:
    with answering(200, b"{}") as port:
        assert answers_ready(port)(os.getpid()) is None


def test_a_service_says_what_it_waits_for() -> None:
    with answering(503, b'{"ready": false, "waiting_for": ["broker: away", "database: away"]}') as port:
        assert answers_ready(port)(os.getpid()) == "broker: away; database: away"


def test_nobody_there() -> None:
    port = ports.choose(["free"], {})["free"]
    assert answers_ready(port)(os.getpid()) == f"port {port} to answer"
    assert listens(port)(os.getpid()) == f"port {port} to open"


def test_a_server_that_listens() -> None:
    with answering(200, b"") as port:
        assert listens(port)(os.getpid()) is None


def test_a_program_that_answers_like_a_part_and_is_not_it_is_named() -> None:
    another = os.getppid()
    with answering(200, b"{}") as port:
        for probe in (answers_ready(port), listens(port)):
            said = probe(another)
            assert said is not None
            assert re.fullmatch(rf"port {port}, which .* \(process {os.getpid()}\) holds", said)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"waiting_for": []}'])
def test_an_answer_without_a_reason(body: bytes) -> None:
    assert waiting_for(body) == "it says only that it is not ready"
