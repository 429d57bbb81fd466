"""The embedded broker's memory stays bounded: its topic is made anew again and again while an upload goes through."""

import threading
from pathlib import Path
from typing import Any

import psutil
import psycopg

from rowstream.database.invariants import check
from rowstream.kafka.topics import CHUNKS, topic_partitions
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.bench.workload import RECORD_TYPE, hand_in, wait_for
from tests.servers import until
from tests.whole_system import System, loaded_rows, planted_rows, rejected_rows, running

ROWS = 150_000  # for which the broker needs 55 MB where it is never freed
SMALL = 20_000
LIMIT = 28_000_000  # when nothing was sent it has 19 MB
BOUND = 48_000_000
"""The limit, and what one window and a second of looking away may add."""
SETTINGS = {"ROWSTREAM_UP_BROKER_MEMORY": str(LIMIT), "ROWSTREAM_SPLITTER__WINDOW_CHUNKS": "16"}


class Memory(threading.Thread):
    """What the broker's resident memory is, several times a second."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        (self._broker,) = system.processes("tansu")
        self._over = threading.Event()
        self.seen: list[int] = []

    def run(self) -> None:
        while not self._over.wait(0.2):
            self.seen.append(self._broker.memory_info().rss)

    def stop(self) -> None:
        self._over.set()
        self.join()

    @property
    def times_freed(self) -> int:
        """How often much of it was freed at once."""
        return sum(after < before - LIMIT // 5 for before, after in zip(self.seen, self.seen[5:], strict=False))


def sample(folder: Path, rows: int) -> tuple[Path, Path]:
    file, truth = folder / "members.csv", folder / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), rows, output=output, truth=planted, seed=1)
    return file, truth


def check_truth(system: System, upload: dict[str, Any], truth: Path, rows: int) -> None:
    assert upload["status"] == "completed", upload
    assert rejected_rows(system, upload["id"]) == planted_rows(truth)
    assert loaded_rows(system, upload["id"]) == set(range(2, rows + 2)) - planted_rows(truth).keys()
    assert check(system.addresses["database"]) == []


def test_a_larger_upload_passes_recyclings_and_ends_with_the_truth(tmp_path: Path) -> None:
    file, truth = sample(tmp_path, ROWS)
    with running(tmp_path / "state", settings=SETTINGS) as system, system.api as api:
        (broker,) = system.processes("tansu")
        processors = {process.pid for process in system.processes("record_processor")}
        memory = Memory(system)
        memory.start()
        upload = wait_for(api, hand_in(api, file), every=0.5, seconds=500)
        memory.stop()

        check_truth(system, upload, truth, ROWS)
        assert memory.times_freed >= 1
        assert max(memory.seen) < BOUND
        assert broker.status() != psutil.STATUS_ZOMBIE, "it was recycled, not started again"
        assert processors.isdisjoint(process.pid for process in system.processes("record_processor"))


def held_sending(system: System) -> int:
    with psycopg.connect(system.addresses["database"]) as connection:
        (count,) = connection.execute("SELECT count(*) FROM sending_hold").fetchone() or (0,)
    return int(count)


def test_an_upload_whose_supervisor_was_killed_in_a_recycling_is_brought_to_its_end_by_the_next_one(
    tmp_path: Path,
) -> None:
    file, truth = sample(tmp_path, SMALL)
    always_due = {"ROWSTREAM_UP_BROKER_MEMORY": "1"}
    with running(tmp_path / "state", settings=always_due) as system, system.api as api:
        upload_id = hand_in(api, file)
        until(lambda: not system.processes("record_processor"), seconds=60.0, what="the processors' leaving")
        assert held_sending(system) == 1
        system.process.kill()
    with running(tmp_path / "state") as system, system.api as api:
        check_truth(system, wait_for(api, upload_id, every=0.5, seconds=240), truth, SMALL)
        assert topic_partitions(system.addresses["broker"])[CHUNKS] == 8
