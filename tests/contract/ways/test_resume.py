"""`rowstream upload`: a large file goes on from where it was killed, and what is no text is told at once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.contract.ways.conftest import Stored

Done = subprocess.CompletedProcess[str]

PART = 8 * 2**20
DATA = b"a,b\n" + b"0123456789,abcde\n" * (2 * PART // 17 + 1_000)
KILLED_AFTER_A_PART = """
import os, signal
from rowstream.cli import crew, parts
from rowstream.cli.main import main

send_once = parts._send_once

def once(*arguments):
    send_once(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

crew.AT_ONCE = 1
parts._send_once = once
main()
"""


class Command:
    """`rowstream upload` of one file, as a process of its own."""

    def __init__(self, address: str, key: str, folder: Path) -> None:
        self.state = folder / "state"
        self._environment = {
            **os.environ,
            "ROWSTREAM_URL": address,
            "ROWSTREAM_API_KEY": key,
            "ROWSTREAM_PARTS_ABOVE": "1000000",
            "XDG_STATE_HOME": str(self.state),
        }

    def __call__(self, file: Path, program: str = "from rowstream.cli.main import main; main()") -> Done:
        words = [
            sys.executable,
            "-c",
            program,
            "upload",
            str(file),
            "-t",
            "member_certification",
            "--no-wait",
            "--json",
        ]
        return subprocess.run(words, env=self._environment, check=False, capture_output=True, text=True)


@pytest.fixture
def upload(address: str, api: httpx.Client, tmp_path: Path) -> Command:
    return Command(address, api.headers["Authorization"].removeprefix("Bearer "), tmp_path)


def test_a_large_file_goes_on_from_where_it_was_killed(
    api: httpx.Client, stored: Stored, upload: Command, tmp_path: Path
) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(DATA)
    assert upload(file, KILLED_AFTER_A_PART).returncode == -signal.SIGKILL
    (upload_id,) = stored.waiting()
    first = api.get(f"/api/v1/batch_uploads/{upload_id}/parts").json()["items"]
    assert [part["number"] for part in first] == [1]
    again = upload(file, KILLED_AFTER_A_PART)
    assert again.returncode == -signal.SIGKILL
    there = api.get(f"/api/v1/batch_uploads/{upload_id}/parts").json()["items"]
    assert [part["number"] for part in there] == [1, 2], "the first was not sent again"
    done = upload(file)
    assert done.returncode == 0, done.stderr
    accepted = json.loads(done.stdout)
    assert (accepted["id"], accepted["status"], accepted["size_bytes"]) == (upload_id, "pending", len(DATA))
    assert stored.content(upload_id) == DATA
    assert not list(upload.state.rglob("*.json"))


def test_a_file_that_is_no_text_is_told_in_one_line(api: httpx.Client, upload: Command, tmp_path: Path) -> None:
    file = tmp_path / "picture.csv"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    done = upload(file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rowstream: the file is not text: it looks like a PNG image. Export the records")
    assert done.stderr.count("\n") == 1
    newest = api.get("/api/v1/batch_uploads", params={"limit": 1}).json()["items"][0]
    assert (newest["status"], newest["failure_code"], newest["accepted_at"]) == ("failed", "FMT_002", None)
