"""The project's own rules with less patience, so that faults of seconds show what faults of minutes do.

All that is a time in them is divided by one factor: how long an alert waits, the windows that it looks at, and ages
that it compares with. What is a number, a share or a rate stays. So a fault of a minute here is one of six there.

The sessions, leases and stalls of the fault suite's services are those of production divided by two to four only, and a
process takes as long to start as anywhere. So healing takes a greater part of an alert's patience here than there: what
pages nobody here pages nobody in production.
"""

import re
from datetime import timedelta
from pathlib import Path

from deploy.prometheus.scrape import HERE, RULES

FACTOR = 6.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_TIME = re.compile(r"(?P<before>\bfor: |\[|\boffset )(?P<amount>\d+)(?P<unit>ms|s|m|h|d)\b")
_AGE = re.compile(r"(?P<before>_seconds\)? (?:[<>]=?|==) )(?P<seconds>\d+(?:\.\d+)?)\b")


def hurried(rules: str, factor: float) -> str:
    """The text of a file of rules with every time in it divided by `factor`; pure.

    Times are what follows `for:` and `offset`, what is in brackets, and numbers that a metric named `..._seconds` is
    compared with. To a metric that is not an age (`changes(process_start_time_seconds[30m]) > 4`) nothing else happens.
    """

    def shorter_time(found: re.Match[str]) -> str:
        seconds = int(found["amount"]) * _SECONDS[found["unit"]] / factor
        return f"{found['before']}{timedelta(seconds=seconds) // timedelta(milliseconds=1)}ms"

    def shorter_age(found: re.Match[str]) -> str:
        return f"{found['before']}{float(found['seconds']) / factor:g}"

    return _AGE.sub(shorter_age, _TIME.sub(shorter_time, rules))


def write_rules(folder: Path, factor: float = FACTOR) -> Path:
    """All rules of the project, hurried, into a new folder `rules` there; that folder."""
    rules = folder / "rules"
    rules.mkdir()
    for name in RULES:
        (rules / name).write_text(hurried((HERE / name).read_text(encoding="utf-8"), factor), encoding="utf-8")
    return rules
