"""The page of the metrics, from the one list of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram

from docs.generate.markdown import bullets, code, document, table
from rowstream.runtime import metrics

_ROOT: Final = Path(__file__).resolve().parents[2]
_KINDS: Final[dict[type, str]] = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}
_PLACES: Final = {
    "ingest_gateway": "ingest_gateway",
    "splitter": "splitter",
    "record_processor": "record_processor",
    "auditor": "auditor",
    "rowstream/kafka": "all that use Kafka",
}
_MEASURED_BY_ALL: Final = {"WAITING", "DISK_FREE", "DISK_SIZE"}


def page() -> str:
    """Every metric."""
    return document(
        "Metrics",
        "rowstream/runtime/metrics.py",
        "Each process answers `GET /metrics` in Prometheus' text format; `rowstream up --json` lists the addresses. A "
        "metric without labels is in the answer of every process, and is 0 where it is not measured. Labels stay "
        "bounded: a service, a record type, an error code; never an upload, an organization or a record. On Linux "
        "there are also the client library's own: `process_resident_memory_bytes`, `process_cpu_seconds_total`, "
        "`process_start_time_seconds` and others.",
        table(["metric", "type", "labels", "measured by", "meaning"], _rows()),
        "A histogram's buckets, in seconds:",
        bullets(_buckets()),
    )


def _metrics() -> Iterator[tuple[str, Any]]:
    for constant, value in vars(metrics).items():
        if type(value) in _KINDS:
            yield constant, value


def _rows() -> Iterator[tuple[str, str, str, str, str]]:
    for constant, metric in _metrics():
        labels = ", ".join(code(label) for label in metric._labelnames)  # noqa: SLF001 - the client has no other way
        yield (
            code(_name(metric)),
            _KINDS[type(metric)],
            labels,
            _measured_by(constant),
            metric.describe()[0].documentation,
        )


def _name(metric: Any) -> str:
    family = metric.describe()[0]
    return f"{family.name}_total" if isinstance(metric, Counter) else str(family.name)


def _measured_by(constant: str) -> str:
    if constant in _MEASURED_BY_ALL:
        return "every service"
    word = re.compile(rf"\b{constant}\b")
    found = [
        who
        for folder, who in _PLACES.items()
        if any(word.search(path.read_text(encoding="utf-8")) for path in sorted((_ROOT / folder).rglob("*.py")))
    ]
    return "all that use Kafka" if "all that use Kafka" in found else ", ".join(found) or "nothing yet"


def _buckets() -> Iterator[str]:
    for _, metric in _metrics():
        if isinstance(metric, Histogram):
            bounds = [f"{bound:g}" for bound in metric._upper_bounds if bound != float("inf")]  # noqa: SLF001 - as above
            yield f"{code(_name(metric))}: {', '.join(bounds)}"
