"""The plan: all that cutting a file depends on, pinned before its first chunk goes out.

Whoever splits the same object by the same plan makes the same chunks, so a splitter that takes over can skip what the
ledger has and compare digests on the way.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

from rowstream.errors import Fatal
from rowstream.records import RecordType
from splitter.header import Column
from splitter.limits import Limits
from splitter.settings import SplitterSlice

PARSER_RULES = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one object is cut."""

    etag: str
    size_bytes: int
    columns: list[dict[str, str | None]]
    record_type: str
    record_type_version: int
    lanes: int
    partitions: int
    chunk_records: int
    chunk_bytes: int
    limits: dict[str, int]
    encoding: str = "utf-8"
    lane_hash: str = "xxhash64"
    parser_rules: int = PARSER_RULES

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """The plan as it was stored.

        Raises:
            Fatal: it was made by rules that this version does not have.
        """
        if stored.get("parser_rules") != PARSER_RULES:
            raise Fatal(
                f"the plan was made by parser rules {stored.get('parser_rules')}, this splitter has {PARSER_RULES}"
            )
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        """What `read` reads."""
        return asdict(self)


def limits_of(settings: SplitterSlice) -> Limits:
    """The limits of reading that these settings ask for.

    Raises:
        Fatal: a record may be larger than a chunk.
    """
    if settings.max_record_bytes >= settings.chunk_bytes:
        raise Fatal(
            f"ROWSTREAM_SPLITTER__MAX_RECORD_BYTES ({settings.max_record_bytes}) must be below"
            f" ROWSTREAM_SPLITTER__CHUNK_BYTES ({settings.chunk_bytes})"
        )
    return Limits(
        max_record_bytes=settings.max_record_bytes,
        max_columns=settings.max_columns,
        max_header_bytes=min(65_536, settings.max_record_bytes),
    )


def lanes_for(size_bytes: int, settings: SplitterSlice) -> int:
    """How many lanes a file of this size gets: one for a small file, so that what fits in one chunk is one chunk."""
    return max(1, min(settings.max_lanes, size_bytes // settings.lane_bytes))


def make_plan(
    *,
    etag: str,
    size_bytes: int,
    columns: tuple[Column, ...],
    record_type: RecordType,
    partitions: int,
    limits: Limits,
    settings: SplitterSlice,
) -> Plan:
    """The plan for an object that nobody has planned yet."""
    return Plan(
        etag=etag,
        size_bytes=size_bytes,
        columns=[{"header": column.header, "name": column.name} for column in columns],
        record_type=record_type.name,
        record_type_version=record_type.version,
        lanes=lanes_for(size_bytes, settings),
        partitions=partitions,
        chunk_records=settings.chunk_records,
        chunk_bytes=settings.chunk_bytes,
        limits=asdict(limits),
    )
