"""The embedded broker's memory stays bounded: its topic is made anew again and again while an upload goes through."""

import threading
from pathlib import Path

import psutil

from rowstream.database.invariants import check
from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.bench.workload import RECORD_TYPE, hand_in, wait_for
from tests.whole_system import System, loaded_rows, planted_rows, rejected_rows, running

ROWS = 200_000
LIMIT = 45_000_000
BOUND = 90_000_000
"""The limit, and what one window and a second of looking away may add."""


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
        return sum(after < before - LIMIT // 3 for before, after in zip(self.seen, self.seen[5:], strict=False))


def test_a_larger_upload_passes_recyclings_and_ends_with_the_truth(tmp_path: Path) -> None:
    file, truth = tmp_path / "members.csv", tmp_path / "truth.jsonl"
    with file.open("wb") as output, truth.open("w") as planted:
        write_sample(registry.find(RECORD_TYPE), ROWS, output=output, truth=planted, seed=1)
    settings = {"ROWSTREAM_UP_BROKER_MEMORY": str(LIMIT)}
    with running(tmp_path / "state", settings=settings) as system, system.api as api:
        (broker,) = system.processes("tansu")
        processors = {process.pid for process in system.processes("record_processor")}
        memory = Memory(system)
        memory.start()
        upload_id = hand_in(api, file)
        upload = wait_for(api, upload_id, every=0.5, seconds=500)
        memory.stop()

        assert upload["status"] == "completed", upload
        assert rejected_rows(system, upload_id) == planted_rows(truth)
        assert loaded_rows(system, upload_id) == set(range(2, ROWS + 2)) - planted_rows(truth).keys()
        assert check(system.addresses["database"]) == []
        assert memory.times_freed >= 1
        assert max(memory.seen) < BOUND
        assert broker.status() != psutil.STATUS_ZOMBIE, "it was recycled, not started again"
        assert processors.isdisjoint(process.pid for process in system.processes("record_processor"))
