"""`python -m tests.fault`: many faults on one system, a line for each, a table by kind; each has its number."""

import argparse
import signal
import sys
from itertools import islice
from pathlib import Path

from tests.fault.alerts import watched
from tests.fault.plan import KINDS, plans_from
from tests.fault.report import table
from tests.fault.run import SEVERAL, Outcome, Run
from tests.fault.start import world


def main() -> None:
    """Strike, print, and exit with 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first, or of the only one (default: 0)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    parser.add_argument("--keep", type=Path, help="copy the logs of every part to this folder at the end")
    asked = parser.parse_args()
    plans = list(islice(plans_from(asked.seed, asked.kind or tuple(KINDS)), asked.faults))
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left mounted or running
    with world(keep=asked.keep) as made, watched(made) as watch:
        run = Run(made, watch, plans[0])
        _say(f"without a fault: {run.fault_free:.1f} s")
        for plan in plans:
            outcomes.append(run.strike(plan))
            _say(str(outcomes[-1]))
    _say(table(outcomes))
    sys.exit(any(outcome.violations or not outcome.struck or outcome.in_flight < SEVERAL for outcome in outcomes))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
