"""Which faults need a person and which alerts they raise; and a Prometheus beside the world that says which came.

It is a real one, with the project's own rules, hurried (see there), and looks at every process once a second.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from deploy.prometheus.scrape import configuration
from tests import servers
from tests.fault.hurry import write_rules
from tests.fault.world import NAMES, WATCHED_FOLDER, World
from tests.servers.prometheus import Prometheus, prometheus_server

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Kind:
    """What a kind of fault asks of people.

    Attributes:
        needs_person: It does not heal by itself. Of one that does, nobody is paged.
        fires: The alerts by which that person learns of it, `Name` or `Name/job`: each fires while the fault lasts and
            clears after it is healed. Empty where the fault is over before an alert's patience is.
    """

    needs_person: bool = False
    fires: frozenset[str] = field(default=frozenset())


_HEALS = Kind()


def _calls(*alerts: str) -> Kind:
    return Kind(needs_person=True, fires=frozenset(alerts))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "kill-gateway": _HEALS,
        "kill-splitter": _HEALS,
        "kill-processor": _HEALS,
        "kill-auditor": _HEALS,
        "terminate": _HEALS,
        "freeze": _HEALS,
        "freeze-long": _HEALS,
        "rebalance-storm": _HEALS,
        "broker-killed": _HEALS,
        "broker-log-lost": _HEALS,
        "postgres-stopped": _HEALS,
        "commit-answer-cut": _HEALS,
        "connections-exhausted": _HEALS,
        # Somebody makes room within seconds, before anybody could be called.
        "disk-full-postgres": _calls(),
        "disk-full-broker": _calls(),
        "store-errors": _HEALS,
        "store-stalls": _HEALS,
        "store-truncates": _HEALS,
        "object-overwritten": _HEALS,  # its sender is told; nobody here can mend it
        "gateway-storm": _HEALS,
        "partition": _HEALS,
        "clock-jump": _HEALS,
        "full-replay": _HEALS,
        "results-shuffled": _HEALS,
        "poison-avro": _HEALS,
        "poison-arrow": _HEALS,
        "not-ours": _HEALS,
        "outbox-late": _HEALS,
        "rolling-upgrade": _HEALS,
        "older-schema": _HEALS,
        # From here on they last until their alerts fire (`lasting`).
        "messages-nobody-can-read": _calls("DeadLettersGrow"),
        "a-process-that-ends-again-and-again": _calls("ProcessRestarts/record_processor"),
        "store-away": _calls("PartAway/ingest_gateway", "PartAway/splitter"),
        "chunks-that-always-fail": _calls("ChunksUnprocessed", "UploadBudgetBurnsFast"),
        "database-away": _calls(
            "PartAway/ingest_gateway", "PartAway/splitter", "PartAway/record_processor", "PartAway/auditor", "ApiFails"
        ),
        "database-disk-full": _calls("PartAway/record_processor", "DiskAlmostFull"),
        "broker-away": _calls("PartAway/splitter", "PartAway/record_processor", "OutboxOld", "UploadStuck"),
        "broker-disk-full": _calls("PartAway/splitter", "PartAway/record_processor", "OutboxOld", "UploadStuck"),
        "lanes-held-by-a-stranger": _calls("NothingIsLoaded", "UploadStuck"),
        "all-who-could-move-it-frozen": _calls("UploadStuck", "ServiceGone/splitter", "ServiceGone/record_processor"),
        "all-services-gone": _calls(
            "ServiceGone/ingest_gateway", "ServiceGone/splitter", "ServiceGone/record_processor", "ServiceGone/auditor"
        ),
    }
)
"""Of every kind of fault, whom it needs and what fires."""


class Watch:
    """What the Prometheus beside a world has seen."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    def firing(self) -> set[str]:
        """The alerts that fire now, each as `Name` and as `Name/job`."""
        return self._named('ALERTS{alertstate="firing"}')

    def paged(self, since: float) -> set[str]:
        """The alerts for which somebody was called since then, a moment of the monotonic clock."""
        seconds = round(time.monotonic() - since)
        return self._named(f'max_over_time(ALERTS{{alertstate="firing", severity="page"}}[{max(seconds, 1)}s])')

    def _named(self, query: str) -> set[str]:
        found = set()
        for one in self._prometheus.series(query):
            labels = one["metric"]
            if _is_ours(labels):
                found |= {labels["alertname"], f"{labels['alertname']}/{labels.get('job', '')}"}
        return found


def _is_ours(labels: Mapping[str, str]) -> bool:
    """How full the disks of this machine are is not our matter; one of the suite's own disks is watched."""
    return not labels["alertname"].startswith("Disk") or (labels["job"], labels["folder"]) == WATCHED_FOLDER


def unwanted(kind: str, paged: set[str]) -> list[str]:
    """What is wrong about these pages during a fault of this kind; pure."""
    if KINDS[kind].needs_person:
        return []
    called = sorted(name.rstrip("/") for name in paged if "/" in name)
    return [f"somebody was called by {name}, and it heals by itself" for name in called]


@contextmanager
def watched(world: World) -> Iterator[Watch]:
    """A Prometheus that has seen every process of this world, and goes on looking."""
    metrics: dict[str, list[str]] = {}
    for name, module in NAMES.items():
        metrics.setdefault(module, []).append(f"http://127.0.0.1:{world.services[name].port}/metrics")
    asked = configuration(metrics, seconds=_LOOK_SECONDS, rules=write_rules(world.folder))
    with prometheus_server(world.folder, asked) as prometheus:
        servers.until(
            lambda: len(prometheus.series("up == 1")) == len(NAMES), seconds=60, what="a look at every process"
        )
        yield Watch(prometheus)
