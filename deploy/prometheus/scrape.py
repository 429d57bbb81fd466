"""The configuration of a Prometheus that watches a system started by `rowstream up`.

`python -m deploy.prometheus.scrape .rowstream/system.json > prometheus.yml`, or pipe in the line of `up --json`.
The addresses are those of one start: make it anew after another.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
RULES = ("rules.yml", "alerts.yml")


def configuration(metrics: Mapping[str, Sequence[str]], *, seconds: float = 15.0, rules: Path = HERE) -> dict[str, Any]:
    """What Prometheus needs to know, with a job for each service.

    Args:
        metrics: for each service the URL of each of its processes' /metrics, as `rowstream up --json` has them.
        seconds: between two looks.
        rules: the folder of the rules and alerts.
    """
    interval = f"{round(seconds * 1_000)}ms"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(rules / name) for name in RULES],
        "scrape_configs": [
            {"job_name": service, "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}]}
            for service, urls in metrics.items()
        ],
    }


def main(arguments: Sequence[str]) -> None:
    """Print the configuration for the system that the file, or standard input, tells of; JSON, which is YAML too."""
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.readline()
    print(json.dumps(configuration(json.loads(text)["metrics"]), indent=2))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
