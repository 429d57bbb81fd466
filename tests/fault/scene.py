"""One fault's scene: the world, the plan, the files under way, and the words that faults are written in."""

import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.check import ENDED
from tests.fault.plan import File, Plan
from tests.fault.workload import Handed, Sample, sample_of
from tests.fault.world import World

_LOOK_SECONDS = 0.03
_STRIKE_SECONDS = 90.0


class NotStruck(Exception):
    """The place where the fault was to strike was never reached; the suite, not the system, is at fault."""


@dataclass
class Scene:
    """What a fault works with; `uploads` are under way from `begin` on."""

    world: World
    plan: Plan
    uploads: list[Handed] = field(default_factory=list)
    in_flight: int = 0
    """How many uploads had not ended when the fault struck."""

    def begin(self) -> None:
        """Hand in the files, each by a client of its own that does not give up."""
        samples = [sample_of(file) for file in self.plan.files]  # takes a moment; they are to come together
        for file, sample in zip(self.plan.files, samples, strict=True):
            self.hand_in(file, sample)

    def hand_in(self, file: File, sample: Sample | None = None) -> None:
        """Hand in one more file."""
        key = self.world.keys[file.organization]
        self.uploads.append(Handed(file, sample or sample_of(file), self.world.gateway, key))
        self.uploads[-1].begin()

    def begin_and_wait(self) -> None:
        """Hand in the files, and wait until the plan's share of their records is in the ledger."""
        self.begin()
        wanted = self.plan.share * sum(file.rows for file in self.plan.files)
        self.until(lambda: self.records_in_ledger() >= wanted, f"{wanted:.0f} records in the ledger")
        self.struck()

    def records_in_ledger(self) -> int:
        """How many records of these uploads have an outcome."""
        query = (
            "SELECT coalesce(sum(records), 0)::bigint FROM processed_chunks WHERE batch_upload_id = ANY (%s::uuid[])"
        )
        return int(self.world.query(query, self._ids())[0][0])

    def struck(self) -> None:
        """Note how many uploads the fault has met."""
        self.in_flight = self._open()

    def _open(self) -> int:
        query = "SELECT count(*) FROM batch_uploads WHERE id = ANY (%s::uuid[]) AND status = ANY (%s)"
        return len(self.uploads) - int(self.world.query(query, self._ids(), list(ENDED))[0][0])

    def _ids(self) -> list[str]:
        return [upload.upload_id for upload in self.uploads if upload.upload_id]

    def order(self, service: str, step: str, what: signal.Signals, nth: int | None = None) -> None:
        """Have whichever process of the service takes this step, the plan's nth time, get a signal there."""
        file = self.world.orders / service
        self.clear_orders()
        order = {"step": step, "nth": nth or self.plan.nth, "signal": what.name, "number": self.plan.number}
        draft = Path(f"{file}.draft")
        draft.write_text(json.dumps(order))
        draft.rename(file)

    def clear_orders(self) -> None:
        """Forget what was ordered."""
        for old in self.world.orders.iterdir():
            old.unlink()

    def all_accepted(self) -> bool:
        """Whether every client was told that its upload is accepted."""
        return all(upload.accepted for upload in self.uploads)

    def all_ended(self) -> bool:
        """Whether all uploads were accepted and have ended."""
        return self.all_accepted() and self._open() == 0

    def until_struck(self, service: str) -> int:
        """Wait until the order was carried out; the process that it met."""
        found: list[int] = []

        def look() -> bool:
            found.extend(int(path.suffix[1:]) for path in self.world.orders.glob(f"{service}.struck.*"))
            return bool(found)

        self.until(look, f"{service} to reach its step")
        self.struck()
        return found[0]

    def until(self, happened: Callable[[], bool], what: str, seconds: float = _STRIKE_SECONDS) -> None:
        """Wait until something is so.

        Raises:
            NotStruck: it is not.
        """
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise NotStruck(f"waited {seconds:.0f} s for {what}")
            time.sleep(_LOOK_SECONDS)

    def others(self, pid: int) -> Sequence[str]:
        """The processes of the system besides one."""
        return [name for name, service in self.world.services.items() if service.wanted and service.pid != pid]
