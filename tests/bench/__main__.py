"""`make bench`: the numbers of the design, measured in one run on two cores, as one table.

usage: python -m tests.bench [--rows N] [--runs N] [--small N] [--large N] [--json FILE]
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from tests.bench import copy, workload
from tests.whole_system import WORKERS, Cost, System, running

console = Console(width=120)
HOLD = {"ratio": 1.7, "peak_mb": 450.0, "small_p95": 1.5, "ready": 10.0}


def main() -> None:
    """Measure, print, and leave with 1 where a number does not hold."""
    options = _options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    folder = Path("bench-data")
    folder.mkdir(exist_ok=True)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rowstream-bench-") as state:
        console.print("first start ...")
        with running(Path(state)) as system:
            figures["small"] = _small(system, options.small)
            figures["main"] = _against_copy(system, folder, options.rows, options.runs)
            figures["memory"] = _peaks(system.costs())
        with running(Path(state)) as system:
            figures["ready"] = system.seconds_to_ready
            if options.large:
                figures["large"] = _large(system, folder, options.large)
                figures["memory_large"] = _peaks(system.costs())
    _report(figures, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    raise SystemExit(0 if _holds(figures) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the numbers of the design.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="records of the main file")
    parser.add_argument("--runs", type=int, default=5, help="runs of the main file, each beside a \\copy")
    parser.add_argument("--small", type=int, default=200, help="uploads of 10 records")
    parser.add_argument("--large", type=int, default=10_000_000, help="records of the file for memory; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    return parser.parse_args()


def _small(system: System, count: int) -> dict[str, float]:
    console.print(f"{count} uploads of 10 records ...")
    with system.api as api:
        seconds = []
        for number in range(count):
            upload = workload.wait_for(api, workload.hand_in(api, workload.small_file(number)), every=0.02)
            assert upload["succeeded_records"] == 10, upload
            seconds.append(_database_seconds(upload))
    ordered = sorted(seconds)
    return {"p50": statistics.median(ordered), "p95": ordered[int(len(ordered) * 0.95)], "max": ordered[-1]}


def _against_copy(system: System, folder: Path, rows: int, runs: int) -> dict[str, Any]:
    file, truth = workload.sample(folder, rows)
    clean = workload.clean_lines(file, truth)
    bad = sum(1 for _ in truth.open())
    database = system.addresses["database"]
    ours, copies, ratios = [], [], []
    stages: dict[str, float] = {}
    with system.api as api:
        for run in range(runs + 1):
            copy.empty_tables(database)
            before, stages_before = system.costs(), _stages(system)
            upload = workload.wait_for(api, workload.hand_in(api, file), every=0.1)
            counts = upload["succeeded_records"], upload["failed_records"]
            assert counts == (rows - bad, bad), f"{counts} is not what was planted: {rows - bad}, {bad}"
            seconds = _database_seconds(upload)
            after, stages_after = system.costs(), _stages(system)
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
        "seconds": statistics.median(ours),
        "copy_seconds": statistics.median(copies),
        "ratio": statistics.median(ratios),
        "records_a_second": rows / statistics.median(ours),
        "cpu_seconds": cpu,
        "processor_stage_seconds": stages,
    }


def _large(system: System, folder: Path, rows: int) -> dict[str, float]:
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


def _database_seconds(upload: Mapping[str, Any]) -> float:
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


def _peaks(costs: Mapping[str, Cost]) -> dict[str, float]:
    return {name: cost.peak_mb for name, cost in costs.items()}


def _worst_worker(peaks: Mapping[str, float]) -> float:
    return max(peak for name, peak in peaks.items() if name.startswith(WORKERS))


def _holds(figures: Mapping[str, Any]) -> bool:
    peaks = [figures["memory"], *([figures["memory_large"]] if "memory_large" in figures else [])]
    return (
        figures["main"]["ratio"] <= HOLD["ratio"]
        and max(map(_worst_worker, peaks)) <= HOLD["peak_mb"]
        and figures["small"]["p95"] <= HOLD["small_p95"]
        and figures["ready"] <= HOLD["ready"]
    )


def _report(figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    main_, small = figures["main"], figures["small"]
    table = Table(title="rowstream on two cores", title_justify="left")
    for column in ("what", "measured", "hold", "aim"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = f"{main_['rows']:,} records"
    table.add_row(f"{rows}, against \\copy (median of {options.runs})", f"{main_['ratio']:.2f}x", "1.70x", "1.00x")
    table.add_row("  accepted to completed", f"{main_['seconds']:.2f} s", "", "")
    table.add_row("  \\copy of the clean lines", f"{main_['copy_seconds']:.2f} s", "", "")
    table.add_row("  records a second", f"{main_['records_a_second']:,.0f}", "", "")
    table.add_row(f"10 records, p50 of {options.small}", f"{small['p50']:.3f} s", "", "")
    table.add_row(f"10 records, p95 of {options.small}", f"{small['p95']:.3f} s", "1.5 s", "0.5 s")
    table.add_row("`rowstream up`, second start to ready", f"{figures['ready']:.1f} s", "10 s", "5 s")
    if "large" in figures:
        large = figures["large"]
        table.add_row(f"{large['rows']:,} records", f"{large['seconds']:.1f} s", "", "")
        table.add_row("  records a second", f"{large['records_a_second']:,.0f}", "", "")
    console.print(table)
    costs = Table(title="each process", title_justify="left")
    for column in ("process", f"CPU s for {rows}", f"peak MB, {rows}", "peak MB, large file"):
        costs.add_column(column, justify="left" if column == "process" else "right")
    large_peaks = figures.get("memory_large", {})
    for name, peak in sorted(figures["memory"].items()):
        cpu = main_["cpu_seconds"].get(name, 0.0)
        large_peak = next((value for key, value in large_peaks.items() if key == name), None)
        costs.add_row(name, f"{cpu:.2f}", f"{peak:.0f}", "" if large_peak is None else f"{large_peak:.0f}")
    console.print(costs)
    stages = Table(title="wall seconds of the processors' stages, all together", title_justify="left")
    stages.add_column("stage")
    stages.add_column("seconds", justify="right")
    for stage, seconds in main_["processor_stage_seconds"].items():
        stages.add_row(stage, f"{seconds:.2f}")
    console.print(stages)


if __name__ == "__main__":
    main()
