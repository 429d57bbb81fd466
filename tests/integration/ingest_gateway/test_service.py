"""The gateway as a process: starts, says when it is ready, works, and leaves when asked to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from rowstream.database.migrate import migrate
from rowstream.kafka.topics import UPLOADS
from rowstream.records.registry import record_types
from tests import gateways, servers

WANTED = {"record_type": "member_certification", "filename": "members.csv", "size_bytes": 3}


@contextmanager
def running(
    folder: Path,
    database_url: str,
    bootstrap_servers: str,
    object_store: servers.Server,
    *,
    ready_path: str = "/readyz",
) -> Iterator[servers.Server]:
    """`python -m ingest_gateway` with these servers, ready."""
    port = servers.free_port()
    server = servers.Server(
        name="gateway",
        command=[sys.executable, "-W", "error", "-m", "ingest_gateway"],
        port=port,
        log=folder / "gateway.log",
        environment={
            "PATH": os.defpath,
            "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "ROWSTREAM_DATABASE__URL": database_url,
            "ROWSTREAM_STORAGE__ENDPOINT_URL": f"http://{object_store.address}",
            "ROWSTREAM_STORAGE__ACCESS_KEY_ID": "tests",
            "ROWSTREAM_STORAGE__SECRET_ACCESS_KEY": "tests-secret",
            "ROWSTREAM_STORAGE__PRESIGNED_POST": "false",
            "ROWSTREAM_HTTP__PORT": str(port),
        },
        ready=lambda: _answers(port, ready_path),
    )
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    except httpx.TransportError:
        return False


def log_lines(server: servers.Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def test_a_file_goes_in_and_is_announced(
    tmp_path: Path, database_url: str, broker: str, object_store: servers.Server
) -> None:
    with running(tmp_path, database_url, broker, object_store) as server:
        with gateways.client_of(f"http://{server.address}", gateways.new_key(database_url)) as client:
            headers = {"X-Correlation-ID": "my-request"}
            made = client.post("/api/v1/batch_uploads/presigned_url", json=WANTED, headers=headers).json()
            assert httpx.put(made["url"], content=b"abc").is_success
            confirmed = client.post("/api/v1/batch_uploads", json={"upload_id": made["upload_id"]})
            assert (confirmed.status_code, confirmed.json()["status"]) == (202, "pending")

        def announced() -> bool:
            keys = {message.key() for message in servers.messages_in(broker, UPLOADS)}
            return made["upload_id"].encode() in keys

        servers.until(announced)
        server.stop()
        lines = log_lines(server)
    assert {line["service"] for line in lines} == {"ingest_gateway"}
    assert [line["event"] for line in lines if line["event"] in {"started", "stopped"}] == ["started", "stopped"]
    (request,) = [line for line in lines if line.get("correlation_id") == "my-request"]
    assert (request["path"], request["status"]) == ("/api/v1/batch_uploads/presigned_url", 201)
    assert "members.csv" not in server.log.read_text()


def test_asked_to_stop_it_finishes_what_is_in_flight_and_leaves_well(
    tmp_path: Path, database_url: str, broker: str, object_store: servers.Server
) -> None:
    with (
        running(tmp_path, database_url, broker, object_store) as server,
        gateways.client_of(f"http://{server.address}", gateways.new_key(database_url)) as client,
        psycopg.connect(database_url) as blocker,
    ):
        process = server.process
        assert process
        blocker.execute("LOCK TABLE batch_uploads IN ACCESS EXCLUSIVE MODE")
        script = "import sys, httpx; print(httpx.get(sys.argv[1], headers={'Authorization': sys.argv[2]}, timeout=30))"
        url = f"http://{server.address}/api/v1/batch_uploads"
        slow = subprocess.Popen(
            [sys.executable, "-c", script, url, client.headers["Authorization"]], stdout=subprocess.PIPE, text=True
        )
        with psycopg.connect(database_url, autocommit=True) as watcher:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            servers.until(lambda: watcher.execute(waits).fetchone() == (1,), what="the slow request")
        process.send_signal(signal.SIGTERM)
        servers.until(lambda: not servers.listens(server.port), what="the end of listening")
        assert process.poll() is None
        blocker.rollback()
        output, _ = slow.communicate(timeout=20)
        assert "200" in output
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_it_leaves_at_once(
    tmp_path: Path, database_url: str, broker: str, object_store: servers.Server, number: signal.Signals
) -> None:
    with running(tmp_path, database_url, broker, object_store) as server:
        assert server.process
        server.process.send_signal(number)
        assert server.process.wait(timeout=10) == 0


def test_until_everything_is_there_it_is_alive_but_not_ready(tmp_path: Path, object_store: servers.Server) -> None:
    dead = f"127.0.0.1:{servers.free_port()}"
    with running(tmp_path, f"postgresql://postgres@{dead}/none", dead, object_store, ready_path="/healthz") as server:

        def said() -> list[str]:
            found: list[str] = httpx.get(f"http://{server.address}/readyz").json()["waiting_for"]
            return found

        servers.until(lambda: any("does not answer" in what for what in said()))
        assert [what.partition(":")[0] for what in said()] == ["database"]
        assert httpx.get(f"http://{server.address}/readyz").status_code == 503
        assert server.process
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0


def test_a_database_that_is_migrated_later_is_waited_for(
    tmp_path: Path, postgres: servers.Postgres, broker: str, object_store: servers.Server
) -> None:
    """Its roles are there already, as in a cluster that has another system's database; its tables are not."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE not_migrated_yet")
    url = postgres.url("not_migrated_yet")
    with running(tmp_path, url, broker, object_store, ready_path="/healthz") as server:
        servers.until(lambda: "rowstream migrate" in httpx.get(f"http://{server.address}/readyz").text)
        migrate(url, list(record_types().values()))
        servers.until(lambda: _answers(server.port, "/readyz"))
        with psycopg.connect(url) as connection:
            query = "SELECT count(*) > 0 FROM message_schemas"
            servers.until(lambda: connection.execute(query).fetchone() == (True,), what="the schemas")
        server.stop()
        assert not [line for line in log_lines(server) if line["level"] == "error"]


def test_a_taken_port_is_one_line(tmp_path: Path, object_store: servers.Server) -> None:
    environment = {
        "PATH": os.defpath,
        "ROWSTREAM_HTTP__PORT": str(object_store.port),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ingest_gateway"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{object_store.port} is taken" in done.stderr


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ingest_gateway"],
        env={"PATH": os.defpath, "ROWSTREAM_GATEWAY__MAX_UPLOAD_BYTES": "much"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ROWSTREAM_GATEWAY__MAX_UPLOAD_BYTES" in done.stderr
