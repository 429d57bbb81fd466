"""The files that are under way while a fault strikes, how they are handed in, and the truth about them."""

import csv
import io
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from rowstream.records import registry
from rowstream.records.sample import write_sample
from tests.fault.plan import File

RECORD_TYPE = registry.find("member_certification")
COLUMNS = RECORD_TYPE.columns
_INTEGERS = {"lookback_period", "number_of_months_to_certify", "due_period_days", "work_hours"}
_DERIVED = "pregnancy_due_or_parturition_date"
STORED = (*COLUMNS, _DERIVED)
ROOT = "/api/v1/batch_uploads"
_PATIENCE_SECONDS = 120.0
_AGAIN_SECONDS = 0.2

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Sample:
    """A file with planted faults and the truth about each of its records, by row number.

    Attributes:
        data: The file.
        good: What must be loaded: the cells of STORED, as text.
        bad: What must be rejected: its error codes.
    """

    data: bytes = field(repr=False)
    good: Mapping[int, Row] = field(repr=False)
    bad: Mapping[int, list[str]] = field(repr=False)


def sample_of(file: File) -> Sample:
    """The file that a plan names."""
    output, truth = io.BytesIO(), io.StringIO()
    write_sample(
        RECORD_TYPE, file.rows, output=output, truth=truth, seed=file.seed, bad=0.02, duplicates=file.duplicates
    )
    planted = [json.loads(line) for line in truth.getvalue().splitlines()]
    bad = {one["row_number"]: one["error_codes"] for one in planted}
    lines = output.getvalue().split(b"\n")
    numbers = [number for number in range(2, file.rows + 2) if number not in bad]
    # No cell of a good record of the sample has a line end, so a line is a record.
    records = csv.reader(lines[number - 1].decode() for number in numbers)
    good = {number: _stored(record) for number, record in zip(numbers, records, strict=True)}
    return Sample(output.getvalue(), good, bad)


def _stored(record: list[str]) -> Row:
    cells: dict[str, str | None] = {
        name: str(int(cell)) if cell and name in _INTEGERS else cell or None
        for name, cell in zip(COLUMNS, record, strict=True)
    }
    pregnant = (cells["pregnancy_status"] or "").lower() in ("yes", "true")
    return (*cells.values(), cells["certification_date"] if pregnant else None)


@dataclass
class Handed:
    """A file on its way in: a client that tries again until it is told that its upload is accepted."""

    file: File
    sample: Sample
    address: str
    key: str
    upload_id: str = ""
    accepted: bool = False
    failure: str = ""
    may_end: tuple[str, ...] = ("completed",)
    _place: dict[str, Any] = field(default_factory=dict)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Hand it in, in a thread of its own."""
        self._thread = threading.Thread(target=self._hand_in, name=f"client {self.file.seed}", daemon=True)
        self._thread.start()

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until it is accepted."""
        assert self._thread
        self._thread.join(seconds)
        if not self.accepted:
            self.failure = self.failure or f"not accepted within {seconds:.0f} s"

    def _hand_in(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with httpx.Client(base_url=self.address, timeout=10, trust_env=False) as client:
            client.headers["Authorization"] = f"Bearer {self.key}"
            steps = iter((self._ask, self._send, self._confirm))
            step = next(steps)
            while time.monotonic() < deadline:
                try:
                    step(client)
                    step = next(steps)
                except StopIteration:
                    return
                except (httpx.HTTPError, ValueError) as error:
                    self.failure = f"{type(error).__name__}: {error}"
                    time.sleep(_AGAIN_SECONDS)

    def _ask(self, client: httpx.Client) -> None:
        asked = {"record_type": RECORD_TYPE.name, "filename": "members.csv", "size_bytes": len(self.sample.data)}
        answer = client.post(f"{ROOT}/presigned_url", json=asked, headers={"Idempotency-Key": f"fault-{uuid4()}"})
        self._place = answer.raise_for_status().json()

    def _send(self, _: httpx.Client) -> None:
        method, url = self._place["method"], self._place["url"]
        httpx.request(method, url, content=self.sample.data, timeout=10, trust_env=False).raise_for_status()

    def _confirm(self, client: httpx.Client) -> None:
        upload_id = self._place["upload_id"]
        client.post(ROOT, json={"upload_id": upload_id}).raise_for_status()
        self.upload_id, self.accepted = upload_id, True
