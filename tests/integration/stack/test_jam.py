"""A broker that lets a service into no group is started anew, with stand-ins for both: real processes, real HTTP."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from rowstream.stack import jam
from rowstream.stack.jam import Jam, Unjammer
from rowstream.stack.part import Part, Probe
from rowstream.stack.runner import Event, Jammed, Ready
from rowstream.stack.supervisor import Supervisor
from tests.servers import free_port

# Waits for the broker for as long as that is the first one: each leaves a mark at its start.
SERVICE = """
import http.server, json, pathlib, sys
marks = pathlib.Path(sys.argv[1])
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        jammed = len(list(marks.glob("broker-*"))) == 1
        body = json.dumps({"waiting_for": ["broker: it has no partitions"] if jammed else []}).encode()
        self.send_response(503 if jammed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
"""
BROKER = """
import os, pathlib, sys, time
(pathlib.Path(sys.argv[1]) / f"broker-{os.getpid()}").touch()
time.sleep(600)
"""


def part(name: str, code: str, *arguments: str, ready: Probe | None = None) -> Part:
    command = (sys.executable, "-I", "-S", "-c", code, *arguments)
    return Part(name=name, command=command, environment={}, ready=ready, grace=2.0)


def test_a_broker_that_lets_a_service_into_no_group_is_started_anew_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jam, "_LOOK_SECONDS", 0.05)
    port, events = free_port(), list[Event]()
    marks = tmp_path / "marks"
    marks.mkdir()

    def marks_its_start(pid: int) -> str | None:
        return None if (marks / f"broker-{pid}").exists() else "its mark"

    async def scene() -> None:
        broker = part("broker", BROKER, str(marks), ready=marks_its_start)
        parts = [broker, part("splitter", SERVICE, str(marks), str(port))]
        supervisor = Supervisor(parts, folder=tmp_path, tell=events.append)
        await supervisor.start(20.0)
        unjammer = asyncio.create_task(Unjammer("broker", {"splitter": port}, supervisor, Jam(patience=0.5)).run())
        try:
            deadline = time.monotonic() + 20
            while len(list(marks.iterdir())) < 2:
                assert time.monotonic() < deadline, "it was not started anew"
                await asyncio.sleep(0.02)
            await asyncio.sleep(1.0)  # twice the patience, in which nothing more may happen
        finally:
            unjammer.cancel()
            await supervisor.stop()

    asyncio.run(scene())
    assert [event for event in events if isinstance(event, Jammed)] == [Jammed("broker", "splitter")]
    assert [event.part for event in events if isinstance(event, Ready)].count("broker") == 2
    assert len(list(marks.iterdir())) == 2
