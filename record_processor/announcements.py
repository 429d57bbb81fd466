"""What is said of accepted records: one event each, the same whenever and by whom it is said. Pure.

A record's event is found again by its id (upload and row), not by being sent once. Texts are made column by column for
thousands of records at a time, since one event a record is dear enough as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import polars as pl

from record_processor.outcome import Work
from rowstream.database.record_tables import declared_columns
from rowstream.messages import codec
from rowstream.messages.record_accepted import RecordAccepted
from rowstream.records import RecordType

KEY_CAP = 1_000
"""Characters of a record's key that its message is keyed by."""

MESSAGE_CAP = 900_000
"""Bytes of a message that carries its record; beyond, only where the record is. Headers have room beside it."""


@dataclass(frozen=True)
class Accepted:
    """Accepted records of one upload.

    Attributes:
        record_type: What they are.
        upload_id: Whose they are.
        organization_id: Whose the upload is.
        attempt: Which attempt at the upload loaded them.
        rows: `row_number` and the typed and derived columns; other columns are left out.
        chunks: The numbers of the chunks that they came in.
    """

    record_type: RecordType
    upload_id: UUID
    organization_id: UUID
    attempt: int
    rows: pl.DataFrame
    chunks: tuple[int, ...]


class Event(NamedTuple):
    """One message: its key, its body, and the id that it has however often it is sent."""

    key: bytes
    value: bytes
    id: str


def accepted_in(work: Work, record_type: RecordType, rejected: set[int]) -> list[Accepted]:
    """What is to be announced of the chunks that were worked, by upload: nothing where the type announces nothing.

    Args:
        work: What was worked.
        record_type: Theirs.
        rejected: Those of the good records that were not loaded in the end.
    """
    if not record_type.announce:
        return []
    loaded = work.good.filter(~pl.col("record").is_in(sorted(rejected)))
    return [
        Accepted(
            record_type=record_type,
            upload_id=chunk.upload_id,
            organization_id=chunk.organization_id,
            attempt=chunk.attempt,
            rows=rows.select("row_number", *declared_columns(record_type)),
            chunks=tuple(work.chunks[place].chunk.chunk_number for place in rows["chunk"].unique().sort()),
        )
        for rows in loaded.partition_by("upload", maintain_order=True)
        for chunk in [work.chunks[rows["chunk"][0]].chunk]
    ]


def events(accepted: Accepted) -> Iterator[Event]:
    """The event of each record."""
    record_type = accepted.record_type
    told = accepted.rows.select(
        "row_number",
        key=pl.struct(record_type.key).struct.json_encode(),
        record=pl.struct(list(declared_columns(record_type))).struct.json_encode(),
    )
    for row_number, key, record in told.iter_rows():
        value = _encoded(accepted, row_number, record)
        if len(value) > MESSAGE_CAP:
            value = _encoded(accepted, row_number, None)
        yield Event(key[:KEY_CAP].encode(), value, f"{accepted.upload_id}/{row_number}")


def _encoded(accepted: Accepted, row_number: int, record: str | None) -> bytes:
    return codec.encode(
        RecordAccepted(
            upload_id=accepted.upload_id,
            organization_id=accepted.organization_id,
            row_number=row_number,
            record_type=accepted.record_type.name,
            record_type_version=accepted.record_type.version,
            attempt=accepted.attempt,
            record=record,
        )
    )
