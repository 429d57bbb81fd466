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
from splitter.reader import PARSER_RULES
from splitter.settings import SplitterSettings, SplitterSlice

# What a chunk's message holds beside its cells, at most: places of cells (half of the chunk's cap, see
# `records_per_chunk`), the columns' headers and their description in Arrow, all else.
_COLUMN_BYTES = 150
_FURTHER_BYTES = 16_384
_PLACE_BYTES = 8  # twice what Arrow takes for where a cell ends


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
        if stored.get("parser_rules") not in range(1, PARSER_RULES + 1):
            raise Fatal(
                f"the plan was made by parser rules {stored.get('parser_rules')}, this splitter has 1 to {PARSER_RULES}"
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


def check_sizes(settings: SplitterSettings) -> None:
    """Look before the start whether every chunk will fit into a message.

    Raises:
        Fatal: a record may be larger than a chunk, or a chunk larger than a message; names the settings.
    """
    ours = settings.splitter
    limits = limits_of(ours)
    largest = ours.chunk_bytes * 3 // 2 + ours.max_columns * _COLUMN_BYTES + limits.max_header_bytes + _FURTHER_BYTES
    if largest > settings.kafka.max_message_bytes:
        raise Fatal(
            f"chunks may take {largest} bytes, messages no more than ROWSTREAM_KAFKA__MAX_MESSAGE_BYTES"
            f" ({settings.kafka.max_message_bytes}): raise it, here and at the broker, or lower"
            " ROWSTREAM_SPLITTER__CHUNK_BYTES or ROWSTREAM_SPLITTER__MAX_COLUMNS"
        )


def records_per_chunk(columns: int, settings: SplitterSlice) -> int:
    """How many records a chunk may have: fewer where there are many columns, since even an empty cell takes room."""
    return max(1, min(settings.chunk_records, settings.chunk_bytes // (_PLACE_BYTES * max(1, columns))))


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
        chunk_records=records_per_chunk(len(columns), settings),
        chunk_bytes=settings.chunk_bytes,
        limits=asdict(limits),
    )
