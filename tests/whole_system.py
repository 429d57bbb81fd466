"""The whole system as a user runs it, `rowstream up`: how to reach it, end its parts, and see what they cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from tests.servers.versitygw import ACCESS_KEY, SECRET_KEY

WORKERS = ("ingest_gateway", "splitter", "record_processor", "auditor")


@dataclass(frozen=True)
class Cost:
    """What a process has cost so far: CPU seconds, and the most memory it ever held, in megabytes."""

    cpu: float
    peak_mb: float


@dataclass(frozen=True)
class System:
    """A running system and how long it took to be ready."""

    addresses: Mapping[str, Any]
    process: psutil.Process
    seconds_to_ready: float

    @property
    def api(self) -> httpx.Client:
        """A client of its API."""
        headers = {"Authorization": f"Bearer {self.addresses['api_key']}"}
        return httpx.Client(base_url=self.addresses["gateway"], headers=headers, timeout=120)

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes of one part: a service by its module, `tansu`, `postgres` (all of them), `localbucket`."""
        return [process for named, process in self.named_processes() if named.startswith(name)]

    def named_processes(self) -> list[tuple[str, psutil.Process]]:
        """All processes with their parts' names, from one look; no name for one that has just begun or ended."""
        return [(_name(process), process) for process in self.process.children(recursive=True)]

    def costs(self) -> dict[str, Cost]:
        """The cost of each process by name; the database's processes together, their peaks apart from shared memory."""
        found: dict[str, Cost] = {}
        for process in self.process.children(recursive=True):
            try:
                name, cost = _name(process), cost_of(process)
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue
            known = found.get(name)
            found[name] = cost if known is None else Cost(known.cpu + cost.cpu, max(known.peak_mb, cost.peak_mb))
        return found


@contextmanager
def running(state_dir: Path, *, processors: int = 2, settings: Mapping[str, str] | None = None) -> Iterator[System]:
    """`rowstream up` on this state folder, stopped as by Ctrl-C afterwards; `settings` are ROWSTREAM_* variables."""
    command = [str(Path(sys.executable).with_name("rowstream")), "up", "--json", "--port", "0"]
    command += ["--state-dir", str(state_dir), "--processors", str(processors)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(settings or {})}) as up:
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            assert line, "`rowstream up` did not start"
            yield System(json.loads(line), psutil.Process(up.pid), time.monotonic() - started)
        finally:
            up.terminate()
            up.wait(60)


def on_real_servers(*, broker: str, database: str, storage: str) -> dict[str, str]:
    """Settings with which `rowstream up` runs on these: a broker, a database's URL, and versitygw; no embedded one."""
    return {
        "ROWSTREAM_UP_BROKER": broker,
        "ROWSTREAM_UP_DATABASE": database,
        "ROWSTREAM_UP_STORAGE": f"http://{storage}",
        "ROWSTREAM_STORAGE__ACCESS_KEY_ID": ACCESS_KEY,
        "ROWSTREAM_STORAGE__SECRET_ACCESS_KEY": SECRET_KEY,
    }


def peak_megabytes(pid: int) -> float:
    """The most memory that a process ever held.

    Raises:
        ProcessLookupError: it has ended, though its parent did not look yet.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has ended")


def planted_rows(truth: Path) -> dict[int, str]:
    """The code of each record that must be rejected, by its row, from a sample's truth."""
    faults = map(json.loads, truth.read_text().splitlines())
    return {fault["row_number"]: fault["error_code"] for fault in faults}


def rejected_rows(system: System, upload_id: str) -> dict[int, str]:
    """The code of each record that was rejected, by its row."""
    query = "SELECT row_number, error_code FROM batch_upload_errors WHERE batch_upload_id = %s"
    with psycopg.connect(system.addresses["database"]) as connection:
        return dict(connection.execute(query, [upload_id]).fetchall())


def loaded_rows(system: System, upload_id: str) -> set[int]:
    """The rows of the records of members that were loaded."""
    query = "SELECT row_number FROM member_certifications WHERE batch_upload_id = %s"
    with psycopg.connect(system.addresses["database"]) as connection:
        return {row for (row,) in connection.execute(query, [upload_id])}


def _name(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
        if "-m" in words:
            module = words[words.index("-m") + 1].replace("rowstream.stack.bucket_server", "localbucket")
            return f"{module} :{process.environ()['ROWSTREAM_HTTP__PORT']}" if module == "record_processor" else module
        return "tansu" if process.name().startswith("tansu") else process.name()
    except (psutil.Error, KeyError):  # it ended, or has just begun
        return ""


def cost_of(process: psutil.Process) -> Cost:
    """What a process has cost so far."""
    times = process.cpu_times()
    return Cost(times.user + times.system, peak_megabytes(process.pid))
