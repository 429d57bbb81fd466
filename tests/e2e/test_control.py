"""Control of one upload on a whole system: at any moment, twice, two at once, and what is stored afterwards."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from psycopg import sql

from rowstream.database.invariants import check
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.bench.workload import RECORD_TYPE, hand_in, wait_for
from tests.servers import until
from tests.whole_system import System, running

ROWS = 30_000
# Small chunks, of which few are under way at a time, so that a file of this size is under way for a moment.
SETTINGS = {"ROWSTREAM_SPLITTER__CHUNK_RECORDS": "250", "ROWSTREAM_SPLITTER__WINDOW_CHUNKS": "8"}
QUIET_SECONDS = 4.0
PATIENCE = 180.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("control") / "state", settings=SETTINGS) as system:
        yield system


@pytest.fixture
def api(system: System) -> Iterator[httpx.Client]:
    with system.api as client:
        yield client


def sample(folder: Path, rows: int, seed: int, *, duplicates: float = 0.005) -> tuple[Path, dict[int, str]]:
    """A file, and which of its rows must be rejected for what."""
    file, truth = folder / "members.csv", folder / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), rows, output=output, truth=planted, seed=seed, duplicates=duplicates)
    faults = map(json.loads, truth.read_text().splitlines())
    return file, {fault["row_number"]: fault["error_code"] for fault in faults}


def under_way(system: System, api: httpx.Client, folder: Path, seed: int) -> tuple[str, dict[int, str]]:
    """An upload of which some chunks are in the ledger and others are not, and which rows it must reject."""
    file, truth = sample(folder, ROWS, seed)
    upload_id = hand_in(api, file)
    done: LiteralString = "SELECT count(*) FROM processed_chunks WHERE batch_upload_id = %s"
    until(lambda: number(system, done, upload_id) > 0, seconds=PATIENCE, what="a first chunk")
    return upload_id, truth


def rejected(system: System, upload_id: str) -> dict[int, str]:
    query = "SELECT row_number, error_code FROM batch_upload_errors WHERE batch_upload_id = %s"
    with psycopg.connect(system.addresses["database"]) as connection:
        return dict(connection.execute(query, [upload_id]).fetchall())


@contextmanager
def failing_at_row(system: System, row: int) -> Iterator[None]:
    """The database has a fault of its own, that no record is to blame for, whenever this row is to be loaded."""
    with psycopg.connect(system.addresses["database"], autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''broken'' USING ERRCODE = ''XX000''; END'"
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER fails BEFORE INSERT ON member_certifications FOR EACH ROW WHEN (new.row_number = {})"
                " EXECUTE FUNCTION fails()"
            ).format(row)
        )
        yield
        connection.execute("DROP FUNCTION fails CASCADE")


def number(system: System, query: LiteralString, upload_id: str) -> int:
    with psycopg.connect(system.addresses["database"]) as connection:
        row = connection.execute(query, [upload_id]).fetchone()
    assert row
    return int(row[0])


def loaded(system: System, upload_id: str) -> int:
    return number(system, "SELECT count(*) FROM member_certifications WHERE batch_upload_id = %s", upload_id)


def shown(api: httpx.Client, upload_id: str) -> Mapping[str, Any]:
    upload: Mapping[str, Any] = api.get(f"/api/v1/batch_uploads/{upload_id}").raise_for_status().json()
    return upload


def ask(api: httpx.Client, upload_id: str, verb: str, **body: bool) -> int:
    return api.post(f"/api/v1/batch_uploads/{upload_id}/{verb}", json=body or None).status_code


def two_at_once(system: System, upload_id: str, verb: str, **body: bool) -> list[int]:
    """The answers to the same request, made twice in the same moment; sorted."""
    barrier = Barrier(2)

    def one(_: int) -> int:
        with system.api as client:
            client.get("/healthz")
            barrier.wait()
            return ask(client, upload_id, verb, **body)

    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(one, range(2)))


def at_rest(system: System, api: httpx.Client, upload_id: str) -> Mapping[str, Any]:
    """The cancelled upload once it is closed."""
    closed = "SELECT count(*) FROM batch_upload_audit_logs WHERE batch_upload_id = %s AND event_type = 'upload_closed'"
    until(lambda: number(system, closed, upload_id) == 1, seconds=PATIENCE, what="the end of splitting")
    return shown(api, upload_id)


def command(system: System, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`rowstream` as a user runs it."""
    environment = {"ROWSTREAM_URL": system.addresses["gateway"], "ROWSTREAM_API_KEY": system.addresses["api_key"]}
    return subprocess.run(
        [str(Path(sys.executable).with_name("rowstream")), *words],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_paused_upload_rests_and_then_completes_with_the_truth(
    system: System, api: httpx.Client, tmp_path: Path
) -> None:
    upload_id, truth = under_way(system, api, tmp_path, seed=1)
    assert ask(api, upload_id, "pause") == 202
    assert ask(api, upload_id, "pause") == 200
    until(lambda: shown(api, upload_id)["status"] == "paused", seconds=PATIENCE, what="the pause")
    time.sleep(QUIET_SECONDS)  # what was in work is finished
    before = loaded(system, upload_id)
    assert 0 < before < ROWS - len(truth), "it was over before the pause; make the file longer"
    time.sleep(QUIET_SECONDS)
    assert loaded(system, upload_id) == before
    assert shown(api, upload_id)["status"] == "paused"
    assert two_at_once(system, upload_id, "resume") == [200, 202]
    upload = wait_for(api, upload_id, every=0.2, seconds=PATIENCE)
    assert (upload["status"], upload["total_records"]) == ("completed", ROWS)
    assert rejected(system, upload_id) == truth
    assert loaded(system, upload_id) == ROWS - len(truth)
    assert check(system.addresses["database"]) == []
    assert ask(api, upload_id, "pause") == 409


def test_a_cancelled_upload_stays_so_with_what_it_loaded(system: System, api: httpx.Client, tmp_path: Path) -> None:
    upload_id, truth = under_way(system, api, tmp_path, seed=2)
    assert two_at_once(system, upload_id, "cancel") == [200, 202]
    upload = at_rest(system, api, upload_id)
    assert (upload["status"], upload["requested"], upload["failure_code"]) == ("cancelled", "cancel", None)
    assert 0 < upload["succeeded_records"] < ROWS - len(truth), "it was over before; make the file longer"
    assert loaded(system, upload_id) == upload["succeeded_records"]
    assert check(system.addresses["database"]) == []
    assert [ask(api, upload_id, verb) for verb in ("cancel", "pause", "resume", "retry")] == [200, 409, 409, 409]
    time.sleep(QUIET_SECONDS)
    assert shown(api, upload_id) == upload
    assert loaded(system, upload_id) == upload["succeeded_records"]
    assert check(system.addresses["database"]) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_an_undone_upload_leaves_no_row(
    system: System,
    api: httpx.Client,
    tmp_path: Path,
    at_once: bool,  # noqa: FBT001 - a case
) -> None:
    upload_id, _ = under_way(system, api, tmp_path, seed=3 + at_once)
    if not at_once:
        assert ask(api, upload_id, "cancel") == 202
        assert at_rest(system, api, upload_id)["undone_at"] is None
        assert loaded(system, upload_id) > 0
    result = command(system, tmp_path, "cancel", upload_id, "--undo")
    assert result.returncode == 0, result
    until(lambda: shown(api, upload_id)["undone_at"] is not None, seconds=PATIENCE, what="the undoing")
    assert ask(api, upload_id, "cancel", undo=True) == 200
    upload = shown(api, upload_id)
    assert upload["undone_records"] == upload["succeeded_records"] > 0
    assert loaded(system, upload_id) == 0
    assert check(system.addresses["database"]) == []
    assert "taken out again" in command(system, tmp_path, "status", upload_id).stdout


def test_a_failed_upload_is_tried_again_and_counts_nothing_twice(
    system: System, api: httpx.Client, tmp_path: Path
) -> None:
    upload_id = hand_in(api, b"member_id,nothing_else\n1,2\n")
    assert wait_for(api, upload_id, every=0.2, seconds=PATIENCE)["failure_code"] == "FMT_003"
    result = command(system, tmp_path, "retry", upload_id, "--wait", "--json")
    upload = json.loads(result.stdout)
    assert (result.returncode, upload["status"], upload["attempt"]) == (1, "failed", 2)
    assert upload["failure_code"] == "FMT_003"
    assert check(system.addresses["database"]) == []


def test_a_failed_file_is_retried_from_where_it_is_stored_without_a_new_upload(
    system: System, api: httpx.Client, tmp_path: Path
) -> None:
    """FilePulse 255: a file that failed can only be tried again by uploading it once more."""
    rows = 4_000
    # Without duplicates: of two equal records the later one may be loaded while the first one was given up on.
    file, truth = sample(tmp_path, rows, seed=9, duplicates=0.0)
    good = next(row for row in range(rows // 2, rows) if row not in truth)
    with failing_at_row(system, good):
        upload_id = hand_in(api, file)
        failed = wait_for(api, upload_id, every=0.2, seconds=PATIENCE)
    assert (failed["status"], failed["failure_code"]) == ("failed", "UNK_001")
    assert 0 < failed["unprocessed_records"] < rows
    assert check(system.addresses["database"]) == []
    listed = command(system, tmp_path, "dead-letters", "list", "--upload", upload_id, "--json")
    (letter,) = json.loads(listed.stdout)["items"]
    assert (letter["error_code"], letter["records"]) == ("DB_002", failed["unprocessed_records"])
    assert letter["first_row"] <= good <= letter["last_row"]

    result = command(system, tmp_path, "dead-letters", "redrive", letter["id"], "--wait", "--json")
    upload = json.loads(result.stdout)
    assert (result.returncode, upload["status"], upload["attempt"]) == (0, "completed", 2), result
    assert (upload["total_records"], upload["unprocessed_records"]) == (rows, 0)
    assert rejected(system, upload_id) == truth
    assert loaded(system, upload_id) == rows - len(truth)
    assert check(system.addresses["database"]) == []
    shown_again = command(system, tmp_path, "dead-letters", "show", letter["id"], "--json")
    assert json.loads(shown_again.stdout)["redriven_at"] is not None


def test_what_a_failed_upload_has_loaded_is_taken_out_again_without_trying_it_once_more(
    system: System, api: httpx.Client, tmp_path: Path
) -> None:
    rows = 4_000
    file, truth = sample(tmp_path, rows, seed=10, duplicates=0.0)
    with failing_at_row(system, next(row for row in range(rows // 2, rows) if row not in truth)):
        upload_id = hand_in(api, file)
        assert wait_for(api, upload_id, every=0.2, seconds=PATIENCE)["failure_code"] == "UNK_001"
        assert loaded(system, upload_id) > 0

        result = command(system, tmp_path, "cancel", upload_id, "--undo")
        assert result.returncode == 0, result
        until(lambda: shown(api, upload_id)["undone_at"] is not None, seconds=PATIENCE, what="the undoing")
    upload = shown(api, upload_id)
    assert (upload["status"], upload["attempt"], upload["failure_code"]) == ("cancelled", 2, None)
    assert upload["undone_records"] == upload["succeeded_records"] > 0
    assert loaded(system, upload_id) == 0
    assert check(system.addresses["database"]) == []
