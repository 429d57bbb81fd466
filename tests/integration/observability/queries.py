"""What the dashboards' files and the rules ask, as a data source would get it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.grafana.make import FOLDER

_WORDS = {
    "sum", "rate", "increase", "max", "min", "count", "by", "le", "or", "and", "vector", "histogram_quantile", "time",
    "changes", "absent", "unless", "offset",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A panel's queries; `may_be_empty` says that what it shows is exceptional."""

    name: str
    queries: tuple[str, ...]
    may_be_empty: bool


def panels_of(source: Mapping[str, str]) -> list[Asked]:
    """Every panel of every dashboard that asks this data source."""
    dashboards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return [
        Asked(
            name=f"{dashboard['title']}: {panel['title']}",
            queries=tuple(target.get("expr") or target["rawSql"] for target in panel["targets"]),
            may_be_empty="noValue" in panel["fieldConfig"]["defaults"],
        )
        for dashboard in dashboards
        for panel in dashboard["panels"]
        if panel.get("datasource") == source
    ]


def variables() -> dict[str, str]:
    """The SQL of each variable of a dashboard, by its name."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            found[variable["name"]] = variable["query"]
    return found


def promql(query: str) -> str:
    """As Grafana sends it to Prometheus."""
    return query.replace("$__rate_interval", "1m")


def sql(query: str, **chosen: str) -> str:
    """As Grafana sends it to Postgres: the last day, and what is chosen at the top."""
    query = query.replace("$__timeFrom()", "now() - interval '1 day'").replace("$__timeTo()", "now()")
    for name, value in chosen.items():
        query = query.replace(f"${{{name}:sqlstring}}", f"'{value}'")
    assert "$" not in query, query
    return query


def metrics_in(query: str) -> set[str]:
    """The names of metrics in PromQL: what is neither a function, a label, nor in quotes."""
    plain = re.sub(r'"[^"]*"', "", query)
    plain = re.sub(r"\{[^}]*\}|\b(?:by|on) ?\([^)]*\)|\[[^\]]*\]", "", plain)
    return set(re.findall(r"\b[a-zA-Z_][\w:]*\b", plain)) - _WORDS
