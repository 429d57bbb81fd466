"""The files of the benchmark, and how they are handed in."""

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from rowstream.records import registry
from rowstream.records.sample import write_sample

RECORD_TYPE = "member_certification"
ENDED = {"completed", "failed", "cancelled", "needs_review"}


def sample(folder: Path, rows: int) -> tuple[Path, Path]:
    """An unsorted file with 1 % bad records, and the rows that are bad as JSON lines."""
    file, truth = folder / f"members-{rows}.csv", folder / f"members-{rows}.truth.jsonl"
    if not truth.exists():
        with file.open("wb") as output, truth.open("w") as planted:
            write_sample(registry.find(RECORD_TYPE), rows, output=output, truth=planted, bad=0.01, duplicates=0.0)
    return file, truth


def clean_lines(file: Path, truth: Path) -> Path:
    """The same file without its bad records, for \\copy."""
    clean = file.with_suffix(".clean.csv")
    bad = {json.loads(line)["row_number"] for line in truth.open()}
    with file.open("rb") as source, clean.open("wb") as output:
        output.writelines(line for number, line in enumerate(source, start=1) if number not in bad)
    return clean


def small_file(number: int | str) -> bytes:
    """Ten records whose keys no other small file has."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("member_id", "case_number", "member_email", "certification_date", "certification_type"))
    for row in range(10):
        writer.writerow((f"S{number}-{row}", "C-1", f"s{row}@example.org", "2026-01-31", "recertification"))
    return text.getvalue().encode()


def hand_in(api: httpx.Client, body: bytes | Path) -> str:
    """Presign, send, confirm; the id of the upload."""
    place = ask(api, body.stat().st_size if isinstance(body, Path) else len(body))
    store(place, body)
    return confirm(api, place)


def ask(api: httpx.Client, size: int) -> dict[str, Any]:
    """Where to send a file of that size."""
    asked = {"record_type": RECORD_TYPE, "filename": "bench.csv", "size_bytes": size}
    place: dict[str, Any] = api.post("/api/v1/batch_uploads/presigned_url", json=asked).raise_for_status().json()
    return place


def store(place: dict[str, Any], body: bytes | Path, send: Callable[..., httpx.Response] = httpx.request) -> None:
    """Send a file there; `send` is of a client, where many are sent: to make one costs as much as ten requests."""
    size = body.stat().st_size if isinstance(body, Path) else len(body)
    with body.open("rb") if isinstance(body, Path) else io.BytesIO(body) as content:
        send(
            place["method"], place["url"], content=content, headers={"Content-Length": str(size)}, timeout=300
        ).raise_for_status()


def confirm(api: httpx.Client, place: dict[str, Any]) -> str:
    """Say that it was sent; the id of the upload."""
    upload_id: str = place["upload_id"]
    api.post("/api/v1/batch_uploads", json={"upload_id": upload_id}).raise_for_status()
    return upload_id


def wait_for(api: httpx.Client, upload_id: str, *, every: float, seconds: float = 1_800) -> dict[str, Any]:
    """The upload, once it has ended; asked for at first after so many seconds, then ever less often, as users do."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        upload: dict[str, Any] = api.get(f"/api/v1/batch_uploads/{upload_id}").raise_for_status().json()
        if upload["status"] in ENDED:
            return upload
        time.sleep(max(every, passed / 20))
    raise AssertionError(f"upload {upload_id} did not end in {seconds} s")


def wait_for_movement(api: httpx.Client, upload_id: str, *, seconds: float = 60) -> None:
    """Return once records of the upload have got their outcome."""
    deadline = time.monotonic() + seconds
    while not api.get(f"/api/v1/batch_uploads/{upload_id}").raise_for_status().json()["processed_records"]:
        assert time.monotonic() < deadline, f"upload {upload_id} does not move"
        time.sleep(0.1)
