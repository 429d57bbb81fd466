"""`rowstream up` with its real servers, and small stand-ins where the four services go."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import psycopg
import pytest

from rowstream.kafka.topics import TOPICS, topic_partitions
from rowstream.stack.background import in_background
from rowstream.stack.state_dir import AlreadyRunning
from rowstream.stack.system import Options

ROWSTREAM = str(Path(sys.executable).with_name("rowstream"))
STAND_IN = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ready": true, "waiting_for": []}')
http.server.HTTPServer(("127.0.0.1", int(os.environ["ROWSTREAM_HTTP__PORT"])), Handler).serve_forever()
"""
PLUG_IN = """
import dataframely as dy
from rowstream.records import RecordType
class Visit(dy.Schema):
    who = dy.String(nullable=False)
VISIT = RecordType(name="visit", version=1, title="Visits", table="visits", schema=Visit, key=("who",), announce=True)
"""


class Place:
    """A folder with a state folder in it, and with stand-ins for the services."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        for service in ("ingest_gateway", "splitter", "record_processor", "auditor"):
            (folder / f"{service}.py").write_text(STAND_IN)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROWSTREAM, *arguments],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def up(self, *arguments: str) -> Iterator["Up"]:
        command = [ROWSTREAM, "up", "--state-dir", str(self.state), "--processors", "1", "--port", "0", *arguments]
        with (
            (self.folder / "notes").open("w") as notes,
            subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, stderr=notes, text=True
            ) as process,
        ):
            try:
                yield Up(self, process)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """A record type whose records are announced is installed while inside."""
        package = self.folder / "visits-1.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: visits\nVersion: 1\n")
        (package / "entry_points.txt").write_text("[rowstream.record_types]\nvisit = visits:VISIT\n")
        (self.folder / "visits.py").write_text(PLUG_IN)
        try:
            yield
        finally:
            shutil.rmtree(package)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROWSTREAM_")}
        return {**kept, "PYTHONPATH": str(self.folder)}


class Up:
    """A running `rowstream up`; its answer is read, so it is ready."""

    def __init__(self, place: Place, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.place = place
        self.process = process
        self.answer = process.stdout.readline()

    @property
    def notes(self) -> str:
        return (self.place.folder / "notes").read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        return next(child for child in self.children() if word in child.cmdline())


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with TemporaryDirectory(prefix="rowstream-test-") as folder:
        yield Place(Path(folder))


@pytest.fixture(scope="module")
def system() -> Iterator[Up]:
    """A running system that several tests look at; what they do to it they undo."""
    with TemporaryDirectory(prefix="rowstream-test-") as folder, Place(Path(folder)).up("--json") as up:
        yield up


def test_up_prints_every_address_as_one_json_object(system: Up) -> None:
    printed: dict[str, Any] = json.loads(system.answer)
    assert list(printed) == [
        "gateway",
        "broker",
        "database",
        "storage",
        "bucket",
        "api_key",
        "metrics",
        "owner",
        "owner_password",
    ]
    assert set(topic_partitions(printed["broker"])) >= {topic.name for topic in TOPICS}
    with psycopg.connect(printed["database"]) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)
    assert set(printed["metrics"]) == {"ingest_gateway", "splitter", "record_processor", "auditor"}


def test_no_secret_is_shown_and_nobody_else_is_listened_to(system: Up) -> None:
    children, state = system.children(), system.place.state
    secrets = [(state / name).read_text() for name in ("database_password", "api_key", "owner_password")]
    assert all(secret in system.answer for secret in secrets)
    secrets += [
        key[part] for key in json.loads((state / "secrets.json").read_text())["keys"] for part in key.keys() & "dk"
    ]
    assert len(secrets) == 5
    shown = " ".join(word for child in children for word in child.cmdline())
    shown += "".join(log.read_text() for log in (state / "logs").iterdir()) + system.notes
    assert not [secret for secret in secrets if secret in shown]

    servers = (one for child in children for one in child.net_connections("inet") if one.status == psutil.CONN_LISTEN)
    assert {server.laddr.ip for server in servers} == {"127.0.0.1"}
    names = ("system.json", "api_key", "database_password", "owner_password", "secrets.json")
    assert [(state / name).stat().st_mode & 0o777 for name in names] == [0o600] * 5
    assert state.stat().st_mode & 0o066 == 0


def test_a_part_that_dies_is_said_and_started_again_alone(system: Up) -> None:
    splitter, auditor = system.child("splitter"), system.child("auditor")
    splitter.kill()
    until(lambda: "splitter is ready again" in system.notes)
    said = r"splitter was killed by SIGKILL; starting it again in 0\.2 s \(log: .*splitter\.log\)"
    assert re.search(said, system.notes)
    assert auditor.is_running()


def test_a_second_up_on_the_same_folder_is_refused_in_one_line(system: Up) -> None:
    again = system.place.run("up", "--state-dir", str(system.place.state), "--port", "0")
    assert again.returncode == 1
    assert again.stderr.startswith(f"rowstream: rowstream is already running on {system.place.state} (process ")
    assert again.stderr.count("\n") == 1
    assert again.stdout == ""
    with pytest.raises(AlreadyRunning), in_background(Options(state_dir=system.place.state, port=0)):
        pass


def test_topics_finds_the_running_system(system: Up) -> None:
    listed = json.loads(system.place.run("topics", "--state-dir", str(system.place.state), "--json").stdout)
    assert [topic["topic"] for topic in listed["topics"]] == [topic.name for topic in TOPICS]
    assert listed["made"] == []


def test_doctor_finds_what_is_wrong_with_the_running_system(system: Up) -> None:
    state = str(system.place.state)
    well = system.place.run("doctor", "--state-dir", state, "--json")
    findings = {finding["check"]: finding for finding in json.loads(well.stdout)}
    assert [name for name, finding in findings.items() if not finding["ok"]] == []
    logs = {log.stem for log in (system.place.state / "logs").glob("*.log")}
    assert logs - {"prepare-database"} <= set(findings), "each part is named alike by its log and by the doctor"
    assert len(logs) == 8
    assert well.returncode == 0

    system.child("auditor").suspend()
    with psycopg.connect(json.loads(system.answer)["database"]) as connection:
        connection.execute("ALTER TABLE alembic_version RENAME TO set_aside")
        connection.commit()
        ill = system.place.run("doctor", "--state-dir", state)
        connection.execute("ALTER TABLE set_aside RENAME TO alembic_version")
    system.child("auditor").resume()
    assert ill.returncode == 1
    assert [line.split()[1] for line in ill.stdout.splitlines() if line.startswith("WRONG")] == ["auditor", "database"]
    assert "run `rowstream migrate`" in ill.stdout
    assert f"kill -CONT {system.child('auditor').pid}" in " ".join(ill.stdout.split())


def test_doctor_misses_the_table_and_the_topic_of_a_type_that_was_just_installed(system: Up) -> None:
    with system.place.announcing():
        said = system.place.run("doctor", "--state-dir", str(system.place.state), "--json").stdout
    database, broker = (finding for finding in json.loads(said) if not finding["ok"])
    assert database["check"] == "database"
    assert "record type visit: there is no table visits" in database["found"]
    assert "run `rowstream migrate`" in database["advice"]
    assert broker["check"] == "broker"
    assert "rowstream.records.visit.v1" in broker["found"]


def test_up_warns_that_the_embedded_broker_keeps_what_is_announced(place: Place) -> None:
    with place.announcing(), place.up("--json") as up:
        until(lambda: "broker keeps every accepted record of visit in memory" in up.notes)
        assert "rowstream.records.visit.v1" in topic_partitions(json.loads(up.answer)["broker"])
    assert "--broker" in up.notes


def test_nothing_is_left_however_up_ends_and_the_next_one_has_the_same_addresses(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.up() as up:
        assert up.answer.startswith("ready  gateway http://127.0.0.1:")
        assert (place.state / "database_password").read_text() not in up.answer
        assert (place.state / "api_key").read_text() not in up.answer
        addresses = json.loads((place.state / "system.json").read_text())
        children = up.children()
        assert len(children) >= 7
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(30) == 0
        assert up.process.stdout is not None
        assert up.process.stdout.read() == ""
        assert gone(children)
        assert not (place.state / "system.json").exists()

    with place.up("--json") as up:
        assert json.loads(up.answer) == addresses
        children = up.children()
        up.process.kill()
        until(lambda: gone(children), seconds=5)
        assert len(children) >= 7
    ill = place.run("doctor", "--state-dir", str(place.state), "--json")
    wrong = [one for one in json.loads(ill.stdout) if not one["ok"]]
    assert [(one["check"], "ended without clearing up" in one["found"]) for one in wrong] == [("system", True)]

    monkeypatch.setenv("PYTHONPATH", str(place.folder))
    others = set(psutil.Process().children(recursive=True))
    with suppress(ZeroDivisionError), in_background(Options(state_dir=place.state, port=0, processors=1)) as found:
        children = [child for child in psutil.Process().children(recursive=True) if child not in others]
        assert found.database == addresses["database"]
        _ = 1 / 0
    assert gone(children)
    assert len(children) >= 7


def test_a_signal_during_the_start_leaves_nothing(place: Place) -> None:
    command = [ROWSTREAM, "up", "--state-dir", str(place.state), "--port", "0"]
    with subprocess.Popen(command, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        until(lambda: len(psutil.Process(up.pid).children()) >= 2)
        children = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGINT)
        assert up.wait(90) == 0
        assert up.stdout is not None
        assert up.stdout.read() == ""
    assert gone(children)


def test_a_folder_that_others_may_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = Place(tmp_path).run("up", "--state-dir", "state", "--port", str(port)).stderr
    folder = tmp_path / "state"
    assert said.startswith(f"the state folder {folder} can be read by others (755); chmod 700 {folder} keeps them out")


def test_a_taken_port_is_one_line_that_says_whose_it_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = Place(tmp_path).run("up", "--state-dir", "state", "--port", str(port))
    assert refused.returncode == 1
    assert re.fullmatch(rf"rowstream: port {port} is taken by .* \(process {os.getpid()}\); .*--port\n", refused.stderr)


def test_a_program_that_takes_the_port_of_the_api_meanwhile_is_named_and_gets_no_key(place: Place) -> None:
    with place.up() as up, socket.socket() as stranger:
        port = int(re.findall(r"gateway http://127.0.0.1:(\d+)", up.answer)[0])
        (place.folder / "ingest_gateway.py").write_text("raise SystemExit(3)")
        up.child("ingest_gateway").kill()
        until(lambda: "ingest_gateway ended with code 3" in up.notes)
        (place.folder / "ingest_gateway.py").write_text(STAND_IN)
        until(lambda: binds(stranger, port))
        stranger.listen()
        taken = rf"ingest_gateway cannot be started: port {port} is taken by .* \(process {os.getpid()}\); .*--port; st"
        until(lambda: re.search(taken, up.notes) is not None)
        refused = place.run("status", "--state-dir", str(place.state))
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"(process {os.getpid()}), which gets no key" in refused.stderr
        ill = place.run("doctor", "--state-dir", str(place.state))
        assert f"another program holds 127.0.0.1:{port}" in " ".join(ill.stdout.split())
        assert "ingest_gateway is ready again" not in up.notes

        stranger.close()
        until(lambda: "ingest_gateway is ready again" in up.notes)


def binds(stranger: socket.socket, port: int) -> bool:
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with suppress(OSError):
        stranger.bind(("127.0.0.1", port))
        return True
    return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("filled", "said"), [(False, "MB free and rowstream needs 500 MB"), (True, "the disk of .* is full|has 0 MB free")]
)
def test_a_full_disk_is_one_line(*, filled: bool, said: str, small_disk: Path, tmp_path: Path) -> None:
    if filled:
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "filling").write_bytes(bytes(30_000_000))
    refused = Place(tmp_path).run("up", "--state-dir", str(small_disk / "state"), "--port", "0")
    assert refused.returncode == 1
    assert re.fullmatch(f"rowstream: .*({said}).*; make room, .*--state-dir\n", refused.stderr)
