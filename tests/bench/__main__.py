"""`make bench`: the numbers of the design, measured in one run on two cores, on each broker, as one table."""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.bench.accept import arriving
from tests.bench.brokers import BROKERS, Broker
from tests.bench.measures import Costs, against_copy, beside, console, large, small
from tests.bench.report import faults, tables
from tests.whole_system import System, cost_of, running

# Several files of the same size are compared: none of them is to meet the one moment in which a topic is made anew.
_NO_RECYCLING = {"ROWSTREAM_UP_BROKER_MEMORY": str(8_000_000_000)}

# One client stands for all: it is not to meet the limit that each of many would have.
_NO_LIMITS = {f"ROWSTREAM_LIMITS__{of}_PER_MINUTE": "1000000" for of in ("ADDRESS", "KEY", "ORGANIZATION")}


def main() -> None:
    """Measure, print, and leave with 1 where a number does not hold."""
    options = _options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    folder = Path("bench-data")
    folder.mkdir(exist_ok=True)
    measured = {}
    for name in options.broker or BROKERS:
        console.rule(name)
        with tempfile.TemporaryDirectory(prefix="rowstream-bench-") as place, BROKERS[name](Path(place)) as broker:
            measured[name] = _measure(broker, Path(place) / "state", folder, options)
    for table in tables(measured):
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2))
    wrong = [f"{name}: {fault}" for name, figures in measured.items() for fault in faults(figures)]
    raise SystemExit("\n".join(wrong) or 0)


def _measure(broker: Broker, state: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    console.print("first start ...")
    with running(state, settings={**broker.settings, **_NO_LIMITS, **_NO_RECYCLING}) as system:
        costs = partial(_costs, system, broker.besides)
        figures["small"] = small(system, options.small)
        if options.arriving:
            console.print(f"{options.arriving:,} uploads at {options.rate:g} a second ...")
            figures["arriving"] = arriving(system, options.arriving, options.rate)
        figures["main"] = against_copy(system, folder, options.rows, options.runs, costs)
        figures["memory"] = _peaks(costs())
    with running(state, settings={**broker.settings, **_NO_LIMITS}) as system:
        figures["ready"] = system.seconds_to_ready
        if options.beside:
            figures["beside"] = beside(system, folder, options.beside, options.beside_small)
        if options.large:
            figures["large"] = large(system, folder, options.large)
            figures["memory_large"] = _peaks(_costs(system, broker.besides))
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the numbers of the design.")
    parser.add_argument("--broker", choices=BROKERS, action="append", help="only on this one; may be given again")
    parser.add_argument("--rows", type=int, default=1_000_000, help="records of the main file")
    parser.add_argument("--runs", type=int, default=5, help="runs of the main file, each beside a \\copy")
    parser.add_argument("--small", type=int, default=200, help="uploads of 10 records")
    parser.add_argument("--arriving", type=int, default=1_000, help="uploads of 10 records at a steady rate; 0: none")
    parser.add_argument("--rate", type=float, default=50.0, help="how many of these arrive in a second")
    parser.add_argument("--large", type=int, default=10_000_000, help="records of the file for memory; 0 leaves it out")
    parser.add_argument("--beside", type=int, default=5_000_000, help="records beside which small uploads go; 0: none")
    parser.add_argument("--beside-small", type=int, default=20, help="how many uploads of 10 records beside it")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    return parser.parse_args()


def _costs(system: System, besides: Mapping[str, psutil.Process]) -> Costs:
    return {**system.costs(), **{name: cost_of(process) for name, process in besides.items()}}


def _peaks(costs: Costs) -> dict[str, float]:
    return {name: cost.peak_mb for name, cost in costs.items()}


if __name__ == "__main__":
    main()
