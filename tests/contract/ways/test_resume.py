"""`rowstream upload` of a large file goes on from where it was killed; only what lacks is sent."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.contract.ways.conftest import Stored

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


def test_a_large_file_goes_on_from_where_it_was_killed(
    address: str, api: httpx.Client, stored: Stored, tmp_path: Path
) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(DATA)
    environment = {
        **os.environ,
        "ROWSTREAM_URL": address,
        "ROWSTREAM_API_KEY": api.headers["Authorization"].removeprefix("Bearer "),
        "ROWSTREAM_PARTS_ABOVE": "1000000",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    command = ["upload", str(file), "--record-type", "member_certification", "--no-wait", "--json"]

    def run(*program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *program, *command], env=environment, check=False, capture_output=True, text=True
        )

    assert run("-c", KILLED_AFTER_A_PART).returncode == -signal.SIGKILL
    (upload_id,) = stored.waiting()
    first = api.get(f"/api/v1/batch_uploads/{upload_id}/parts").json()["items"]
    assert [part["number"] for part in first] == [1]
    again = run("-c", KILLED_AFTER_A_PART)
    assert again.returncode == -signal.SIGKILL
    there = api.get(f"/api/v1/batch_uploads/{upload_id}/parts").json()["items"]
    assert [part["number"] for part in there] == [1, 2], "the first was not sent again"
    done = run("-c", "from rowstream.cli.main import main; main()")
    assert done.returncode == 0, done.stderr
    upload = json.loads(done.stdout)
    assert (upload["id"], upload["status"], upload["size_bytes"]) == (upload_id, "pending", len(DATA))
    assert stored.content(upload_id) == DATA
    assert not list((tmp_path / "state").rglob("*.json"))
