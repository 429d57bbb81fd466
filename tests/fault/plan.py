"""The plan of one fault: what is under way, what strikes, and where; all of it follows from the fault's number."""

import itertools
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from rowstream.runtime.steps import Step
from tests.fault.victim import HALF_COPIED

GATEWAY, SPLITTER, PROCESSOR, AUDITOR = "ingest_gateway", "splitter", "record_processor", "auditor"
SERVICES = (GATEWAY, SPLITTER, PROCESSOR, AUDITOR)
SERVERS = ("kafka", "postgres", "store")

STEPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        GATEWAY: (Step.UPLOAD_ACCEPTED.value, Step.OUTBOX_PRODUCED.value, Step.OUTBOX_MARKED.value),
        SPLITTER: (
            Step.UPLOAD_ENQUEUED.value,
            Step.LEASE_TAKEN.value,
            Step.PLAN_PINNED.value,
            Step.CHUNK_PRODUCED.value,
            Step.FILE_SPLIT.value,
        ),
        PROCESSOR: (
            HALF_COPIED,
            Step.ROWS_COPIED.value,
            Step.LEDGER_WRITTEN.value,
            Step.CHUNKS_COMMITTED.value,
            Step.RESULTS_PRODUCED.value,
            Step.OFFSETS_COMMITTED.value,
        ),
        AUDITOR: (Step.RESULTS_FOLDED.value, Step.RESULTS_ACKNOWLEDGED.value),
    }
)
_OFTEN = frozenset(
    (*STEPS[PROCESSOR], *STEPS[AUDITOR], Step.CHUNK_PRODUCED.value)
)  # the others happen once an upload, and the uploads are shared out among a service's processes
_PARTITIONS = tuple(
    f"{service}-{server}"
    for service in SERVICES
    for server in SERVERS
    if server != "store" or service in (GATEWAY, SPLITTER)
)


def _steps_of(*services: str) -> tuple[str, ...]:
    return tuple(f"{service}/{step}" for service in services for step in STEPS[service])


KINDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "kill-gateway": _steps_of(GATEWAY),
        "kill-splitter": _steps_of(SPLITTER),
        "kill-processor": _steps_of(PROCESSOR),
        "kill-auditor": _steps_of(AUDITOR),
        "terminate": _steps_of(*SERVICES),
        "freeze": _steps_of(*SERVICES),
        "freeze-long": _steps_of(SPLITTER, PROCESSOR),
        "rebalance-storm": ("terminate", "kill"),
        "broker-killed": ("",),
        "broker-log-lost": ("",),
        "postgres-stopped": ("immediate", "killed"),
        "commit-answer-cut": ("",),
        "connections-exhausted": ("",),
        "disk-full-postgres": ("",),
        "disk-full-broker": ("",),
        "store-errors": ("503", "500"),
        "store-stalls": ("",),
        "store-truncates": ("",),
        "object-overwritten": ("same-size", "shorter"),
        "gateway-storm": ("",),
        "partition": _PARTITIONS,
        "clock-jump": tuple(f"{service}/{jump}" for service in SERVICES for jump in ("+1h", "-1h")),
        "full-replay": ("",),
        "results-shuffled": ("",),
        "poison-avro": ("",),
        "poison-arrow": ("",),
        "not-ours": ("",),
        "outbox-late": ("",),
        "rolling-upgrade": ("",),
        "older-schema": ("",),
    }
)
"""Every kind of fault, and where each may strike."""


@dataclass(frozen=True)
class File:
    """One file of the workload: how many records, the seed of its sample, and whose it is (0 is the default one's).

    `duplicates` is the share of its records whose key came before.
    """

    rows: int
    seed: int
    organization: int
    duplicates: float = 0.005


@dataclass(frozen=True)
class Plan:
    """One fault.

    Attributes:
        number: Makes the same plan again.
        kind: One of KINDS.
        where: One of the kind's places.
        nth: At the how many-th time that the place is passed.
        share: Or: once this share of the records is in the ledger.
        files: What is under way.
    """

    number: int
    kind: str
    where: str
    nth: int
    share: float
    files: tuple[File, ...]

    def with_files(self, times: float) -> "Plan":
        """The same fault while files so many times as long are under way."""
        return replace(self, files=tuple(replace(file, rows=int(file.rows * times)) for file in self.files))


def plan_of(number: int) -> Plan:
    """The fault with this number; consecutive numbers go through the kinds in turn, and through each kind's places."""
    rng = random.Random(number)
    kind = tuple(KINDS)[number % len(KINDS)]
    places = KINDS[kind]
    where = places[number // len(KINDS) % len(places)]
    nth = rng.randint(1, 6 if where.rpartition("/")[2] in _OFTEN else 1)
    files = tuple(
        File(rows=rng.randrange(3_000, 9_000), seed=number * 3 + place, organization=int(place == 1))
        for place in range(rng.choice((2, 2, 3)))
    )
    return Plan(number, kind, where, nth, rng.uniform(0.05, 0.4), files)


def plans_from(number: int, kinds: Collection[str] = tuple(KINDS)) -> Iterator[Plan]:
    """The faults of these kinds, from this number on, without end."""
    return (plan for plan in map(plan_of, itertools.count(number)) if plan.kind in kinds)
