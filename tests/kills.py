"""The death of one part in the middle of an upload, on a whole system, and what must be so afterwards."""

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil
import psycopg

from rowstream.database.invariants import check
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.bench.workload import RECORD_TYPE, wait_for
from tests.whole_system import System, loaded_rows, planted_rows, rejected_rows

SERVICES = ("ingest_gateway", "splitter", "record_processor", "auditor")
# What a fault costs is waited for here, not measured: shorter patience makes shorter tests. Small chunks, of which few
# are under way at a time, keep a small file under way for as long as a kill takes.
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "ROWSTREAM_SPLITTER__STALL_SECONDS": "4",
        "ROWSTREAM_SPLITTER__LEASE_SECONDS": "4",
        "ROWSTREAM_SPLITTER__CHUNK_RECORDS": "250",
        "ROWSTREAM_SPLITTER__WINDOW_CHUNKS": "8",
        "ROWSTREAM_PROCESSOR__BATCH_CHUNKS": "4",
    }
)
_ROWS = 16_000
_SEEDS = itertools.count(1_000)  # a test that is run again has other records, or they would be duplicates


def an_upload_survives(part: str, system: System, folder: Path, hand_in: Callable[[Path], str]) -> None:
    """Kill a part under an upload: it comes back alone, and the upload ends as it would have.

    Args:
        part: as `System.processes` names it.
        system: started with SETTINGS.
        folder: for the file.
        hand_in: hands the file in, and gives the upload's id.
    """
    file, truth = folder / "members.csv", folder / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), _ROWS, output=output, truth=planted, seed=next(_SEEDS))
    others = _stable_processes(system)

    upload_id = hand_in(file)
    _wait_until_under_way(system, upload_id)
    victim = min(system.processes(part), key=psutil.Process.create_time)
    victim.kill()

    upload = _wait_with_patience(system, upload_id)
    assert upload["status"] == "completed", upload
    assert upload["processed_records"] == _ROWS
    assert rejected_rows(system, upload_id) == planted_rows(truth)
    assert loaded_rows(system, upload_id) == set(range(2, _ROWS + 2)) - planted_rows(truth).keys()
    assert check(system.addresses["database"]) == []
    assert _came_back(system, part, victim.pid)
    if part != "tansu":  # with its log lost, a service whose client is left behind ends itself and is started again
        assert others - _stable_processes(system) <= {victim.pid}, "another part went down with it"


def _stable_processes(system: System) -> set[int]:
    """All but Postgres's, which come and go with its sessions."""
    return {process.pid for name, process in system.named_processes() if name and name != "postgres"}


def _wait_until_under_way(system: System, upload_id: str) -> None:
    """Until some chunks are in the ledger and others are not."""
    deadline = time.monotonic() + 60
    query = "SELECT count(*), sum(records) FROM processed_chunks WHERE batch_upload_id = %s"
    with psycopg.connect(system.addresses["database"], autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query, [upload_id]).fetchone()
            if row and row[0]:
                assert row[1] < _ROWS, "the upload was over before the fault; make the file longer"
                return
            time.sleep(0.01)
    raise AssertionError("the upload did not get under way")


def _wait_with_patience(system: System, upload_id: str) -> Mapping[str, Any]:
    """The ended upload, asked for again and again while the part that answers may be the one that died."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with system.api as api:
                return wait_for(api, upload_id, every=0.2, seconds=deadline - time.monotonic())
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError("the upload did not end")


def _came_back(system: System, part: str, killed: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(process.pid != killed for process in system.processes(part)):
            return True
        time.sleep(0.1)
    return False
