"""What the benchmark measures, on a running system."""

import statistics
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from tests.bench import copy, workload
from tests.bench.spread import spread
from tests.whole_system import Cost, System

console = Console(width=120)

Costs = Mapping[str, Cost]
"""What each process has cost so far, by name."""


def small(system: System, count: int) -> dict[str, float]:
    """Uploads of 10 records, one after the other, on an idle system: seconds from accepted to completed."""
    console.print(f"{count} uploads of 10 records ...")
    with system.api as api:
        seconds = []
        for number in range(count):
            upload = workload.wait_for(api, workload.hand_in(api, workload.small_file(number)), every=0.02)
            assert upload["succeeded_records"] == 10, upload
            seconds.append(_database_seconds(upload))
    return {**spread(seconds), "count": count}


def beside(system: System, folder: Path, rows: int, count: int) -> dict[str, float]:
    """Uploads of 10 records, one after the other, while a very large one is being worked on."""
    console.print(f"{count} uploads of 10 records beside one of {rows:,} ...")
    copy.empty_tables(system.addresses["database"])
    file, _ = workload.sample(folder, rows)
    seconds = []
    with system.api as api:
        big = workload.hand_in(api, file)
        workload.wait_for_movement(api, big)
        for number in range(count):
            upload = workload.wait_for(api, workload.hand_in(api, workload.small_file(f"b{number}")), every=0.05)
            assert upload["succeeded_records"] == 10, upload
            if api.get(f"/api/v1/batch_uploads/{big}").json()["status"] != "processing":
                break
            seconds.append(_database_seconds(upload))
        ended = workload.wait_for(api, big, every=0.5)
    assert ended["status"] == "completed", ended
    assert seconds, "the large upload ended before the first small one; give it more rows"
    return {**spread(seconds), "count": len(seconds), "rows": rows, "large_seconds": _database_seconds(ended)}


def against_copy(system: System, folder: Path, rows: int, runs: int, costs: Callable[[], Costs]) -> dict[str, Any]:
    """A large file and \\copy of its clean lines in turn, with what each process and stage took for it."""
    file, truth = workload.sample(folder, rows)
    clean = workload.clean_lines(file, truth)
    bad = sum(1 for _ in truth.open())
    database = system.addresses["database"]
    ours, copies, ratios = [], [], []
    stages: dict[str, float] = {}
    with system.api as api:
        for run in range(runs + 1):
            copy.empty_tables(database)
            before, stages_before = costs(), _stages(system)
            upload = workload.wait_for(api, workload.hand_in(api, file), every=0.1)
            counts = upload["succeeded_records"], upload["failed_records"]
            assert counts == (rows - bad, bad), f"{counts} is not what was planted: {rows - bad}, {bad}"
            seconds = _database_seconds(upload)
            after, stages_after = costs(), _stages(system)
            baseline = copy.copy_seconds(database, clean)
            console.print(f"  run {run}: {seconds:.2f} s, \\copy {baseline:.2f} s, ratio {seconds / baseline:.2f}")
            if run:  # the first one warms up
                ours.append(seconds)
                copies.append(baseline)
                ratios.append(seconds / baseline)
                cpu = {name: after[name].cpu - before.get(name, Cost(0, 0)).cpu for name in after}
                stages = {name: stages_after[name] - stages_before.get(name, 0.0) for name in stages_after}
    return {
        "rows": rows,
        "runs": runs,
        "seconds": statistics.median(ours),
        "copy_seconds": statistics.median(copies),
        "ratio": statistics.median(ratios),
        "records_a_second": rows / statistics.median(ours),
        "cpu_seconds": cpu,
        "processor_stage_seconds": stages,
    }


def large(system: System, folder: Path, rows: int) -> dict[str, float]:
    """One very large file, for what memory it takes."""
    console.print(f"{rows:,} records, for memory ...")
    copy.empty_tables(system.addresses["database"])
    file, _ = workload.sample(folder, rows)
    with system.api as api:
        upload = workload.wait_for(api, workload.hand_in(api, file), every=0.5)
    file.unlink()
    file.with_suffix(".truth.jsonl").unlink()
    assert upload["status"] == "completed", upload
    seconds = _database_seconds(upload)
    return {"rows": rows, "seconds": seconds, "records_a_second": rows / seconds}


def _database_seconds(upload: dict[str, Any]) -> float:
    ended, accepted = (datetime.fromisoformat(upload[name]) for name in ("completed_at", "accepted_at"))
    return (ended - accepted).total_seconds()


def _stages(system: System) -> dict[str, float]:
    """Seconds that the processors have spent in each stage of their batches, all together."""
    seconds: dict[str, float] = {}
    for url in system.addresses["metrics"]["record_processor"]:
        for line in httpx.get(url).text.splitlines():
            if line.startswith("rowstream_processor_stage_seconds_total{"):
                stage = line.split('"')[1]
                seconds[stage] = seconds.get(stage, 0.0) + float(line.split()[-1])
    return seconds
