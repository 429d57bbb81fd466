import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rowstream.cli import checks
from rowstream.cli.machine_checks import machine_checks
from rowstream.cli.system_checks import judge_topics, system_checks
from rowstream.errors import Retryable
from rowstream.kafka.topics import CHUNKS, TOPICS, topics_with
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir


def found(state: StateDir, name: str) -> checks.Finding:
    return checks.look((name, dict(machine_checks(state))[name]), state)


def test_a_machine_on_which_nothing_is_wrong(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "deep" / "state")
    findings = [checks.look(check, state) for check in machine_checks(state)]
    assert [finding.check for finding in findings if not finding.ok] == []
    assert not state.path.exists()


def test_a_state_folder_that_others_can_read(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.make()
    assert found(state, "state folder").ok
    state.path.chmod(0o755)
    finding = found(state, "state folder")
    assert not finding.ok
    assert "755" in finding.found
    assert finding.advice == f"chmod 700 {state.path}"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowstream.cli.machine_checks.NEEDED_BYTES", 10**18)
    finding = found(StateDir(tmp_path), "disk")
    assert not finding.ok
    assert "make room" in finding.advice


def test_an_old_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10))
    assert not found(StateDir(tmp_path), "python").ok


def test_a_server_that_does_not_answer_is_a_finding_and_no_error(tmp_path: Path) -> None:
    def away() -> str:
        raise Retryable("the broker does not answer")

    state = StateDir(tmp_path)
    finding = checks.look(("broker", away), state)
    assert (finding.ok, finding.found) == (False, "the broker does not answer")
    assert finding.advice == "see the log of that server"
    state.logs.mkdir()
    state.log_of("broker").touch()
    assert checks.look(("broker", away), state).advice == f"see {state.logs}/broker.log"


def test_a_process_that_is_stopped_is_told_from_one_that_is_gone(tmp_path: Path) -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as server:
        assert server.stdout
        where = f"127.0.0.1:{int(server.stdout.readline())}"
        server.send_signal(signal.SIGSTOP)
        metrics = {"auditor": (f"http://{where}/metrics",)}
        system = Addresses(gateway="", broker="", database="", storage="", bucket="", api_key="", metrics=metrics)
        state = StateDir(tmp_path)
        state.write("lock", str(os.getpid()))  # as `up` does
        finding = checks.look(next(iter(system_checks(system, state))), state)
        server.kill()
    assert finding.found == f"process {server.pid} at {where} is stopped"
    assert finding.advice == f"let it go on: kill -CONT {server.pid}"


WANTED = topics_with(["visit"])
ALL = {topic.name: topic.partitions for topic in WANTED}


@pytest.mark.parametrize(
    ("found", "recorded", "said"),
    [
        pytest.param(ALL, {}, "9 topics at here:1", id="all there"),
        pytest.param(ALL | {CHUNKS: 16}, {CHUNKS: 16}, "9 topics at here:1", id="more partitions than declared"),
        pytest.param(ALL, {CHUNKS: 16}, f"{CHUNKS} has 8 partitions, not 16", id="fewer than recorded"),
        pytest.param(ALL | {"rowstream.records.visit.v1": 1}, {}, "visit.v1 has 1 partitions, not 8", id="announced"),
        pytest.param(
            {t.name: t.partitions for t in TOPICS}, {}, "missing at here:1: rowstream.records.visit", id="none"
        ),
    ],
)
def test_topics_are_those_of_the_system_and_of_what_is_announced(
    found: dict[str, int], recorded: dict[str, int], said: str
) -> None:
    finding = checks.look(("broker", lambda: judge_topics(WANTED, found, recorded, "here:1")), StateDir(Path()))
    assert said in finding.found
    assert finding.ok is finding.found.startswith("9 topics")
    assert finding.ok or "rowstream topics --make" in finding.advice


def test_each_process_of_a_service_is_looked_at(tmp_path: Path) -> None:
    system = Addresses(
        gateway="http://127.0.0.1:1",
        broker="",
        database="",
        storage="",
        bucket="",
        api_key="",
        metrics={
            "ingest_gateway": ("http://127.0.0.1:1/metrics",),
            "record_processor": ("http://127.0.0.1:2/metrics", "http://127.0.0.1:3/metrics"),
            "auditor": ("http://127.0.0.1:4/metrics",),
        },
    )
    names = [name for name, _ in system_checks(system, StateDir(tmp_path))]
    assert names == [
        "ingest_gateway",
        "record_processor-1",
        "record_processor-2",
        "auditor",
        "database",
        "broker",
        "storage",
        "api key",
    ]
    gateway = checks.look(next(iter(system_checks(system, StateDir(tmp_path)))), StateDir(tmp_path))
    assert gateway.found.startswith("127.0.0.1:1 does not answer")


def test_another_program_that_answers_like_a_service_is_found_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        metrics = {"ingest_gateway": (f"http://{where}/metrics",)}
        system = Addresses(gateway="", broker="", database="", storage="", bucket="", api_key="", metrics=metrics)
        finding = checks.look(next(iter(system_checks(system, StateDir(tmp_path)))), StateDir(tmp_path))
    assert finding.found.startswith(f"another program holds {where}: ")
    assert finding.found.endswith(f"(process {os.getpid()})")
    assert "--port" in finding.advice
