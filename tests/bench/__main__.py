"""`make bench`: the numbers of the design, measured in one run on two cores, as one table.

usage: python -m tests.bench [--rows N] [--runs N] [--small N] [--large N] [--beside N] [--json FILE]
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.measures import against_copy, beside, console, large, small
from tests.whole_system import WORKERS, Cost, running

# Several files of the same size are compared: none of them is to meet the one moment in which a topic is made anew.
_NO_RECYCLING = {"ROWSTREAM_UP_BROKER_MEMORY": str(8_000_000_000)}
HOLD = {"ratio": 1.7, "peak_mb": 450.0, "small_p95": 1.5, "beside_p95": 10.0, "ready": 10.0}


def main() -> None:
    """Measure, print, and leave with 1 where a number does not hold."""
    options = _options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    folder = Path("bench-data")
    folder.mkdir(exist_ok=True)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rowstream-bench-") as state:
        console.print("first start ...")
        with running(Path(state), settings=_NO_RECYCLING) as system:
            figures["small"] = small(system, options.small)
            figures["main"] = against_copy(system, folder, options.rows, options.runs)
            figures["memory"] = _peaks(system.costs())
        with running(Path(state)) as system:
            figures["ready"] = system.seconds_to_ready
            if options.beside:
                figures["beside"] = beside(system, folder, options.beside, options.beside_small)
            if options.large:
                figures["large"] = large(system, folder, options.large)
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
    parser.add_argument("--beside", type=int, default=5_000_000, help="records beside which small uploads go; 0: none")
    parser.add_argument("--beside-small", type=int, default=20, help="how many uploads of 10 records beside it")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    return parser.parse_args()


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
        and ("beside" not in figures or figures["beside"]["p95"] <= HOLD["beside_p95"])
        and figures["ready"] <= HOLD["ready"]
    )


def _report(figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    main_, alone = figures["main"], figures["small"]
    table = Table(title="rowstream on two cores", title_justify="left")
    for column in ("what", "measured", "hold", "aim"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = f"{main_['rows']:,} records"
    table.add_row(f"{rows}, against \\copy (median of {options.runs})", f"{main_['ratio']:.2f}x", "1.70x", "1.00x")
    table.add_row("  accepted to completed", f"{main_['seconds']:.2f} s", "", "")
    table.add_row("  \\copy of the clean lines", f"{main_['copy_seconds']:.2f} s", "", "")
    table.add_row("  records a second", f"{main_['records_a_second']:,.0f}", "", "")
    table.add_row(f"10 records, p50 of {options.small}", f"{alone['p50']:.3f} s", "", "")
    table.add_row(f"10 records, p95 of {options.small}", f"{alone['p95']:.3f} s", "1.5 s", "0.5 s")
    if "beside" in figures:
        others = figures["beside"]
        what = f"10 records beside {others['rows']:,}"
        table.add_row(f"{what}, p50 of {others['count']}", f"{others['p50']:.3f} s", "", "")
        table.add_row(f"{what}, p95 of {others['count']}", f"{others['p95']:.3f} s", "10 s", "2 s")
    table.add_row("`rowstream up`, second start to ready", f"{figures['ready']:.1f} s", "10 s", "5 s")
    if "large" in figures:
        largest = figures["large"]
        table.add_row(f"{largest['rows']:,} records", f"{largest['seconds']:.1f} s", "", "")
        table.add_row("  records a second", f"{largest['records_a_second']:,.0f}", "", "")
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
