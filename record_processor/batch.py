"""From messages to chunks: what can be read is read, what cannot is still accounted for by its headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import polars as pl
import pyarrow as pa

from rowstream.errors import Poison
from rowstream.kafka.received import Received
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope
from rowstream.messages.record_chunk import RecordChunk

# What the headers say of a chunk, and where Postgres' columns for it end.
_COUNTS = ("attempt", "epoch", "lane", "lane_seq", "chunk_number", "record_count", "first_row", "last_row")
_INTEGER, _BIGINT = 2**31, 2**63
_MOST = dict.fromkeys(("chunk_number", "first_row", "last_row"), _BIGINT)


@dataclass(frozen=True, kw_only=True)
class ChunkInHand:
    """One chunk that was received: its message, who it is for, and its records.

    Attributes:
        message: As it was received.
        chunk: As it was sent; for an unreadable one what its headers say of it.
        envelope: Headers of the message.
        records: `row_number` and the cells as `c0`, `c1`, ...; None for a chunk that cannot be read.
        unreadable: Why it cannot be read, or None.
    """

    message: Received
    chunk: RecordChunk
    envelope: Envelope
    records: pa.Table | None
    unreadable: str | None = None

    @property
    def place(self) -> tuple[UUID, int]:
        """Upload and lane."""
        return self.chunk.upload_id, self.chunk.lane


def read(message: Received, store: codec.SchemaStore) -> ChunkInHand:
    """The chunk in a message.

    Raises:
        Poison: it names no upload, so nothing can be accounted for.
        UnknownSchema: try again in a while.
    """
    envelope = Envelope.read(message.headers)
    try:
        chunk = codec.decode(message.value, RecordChunk, store)
        records = _table(chunk)
    except Poison as error:
        return unreadable(message, envelope, str(error))
    return ChunkInHand(message=message, chunk=chunk, envelope=envelope, records=records)


def unreadable(message: Received, envelope: Envelope, reason: str) -> ChunkInHand:
    """The account of a chunk whose body cannot be read, from its headers alone.

    Raises:
        Poison: the headers do not name a chunk either.
    """
    return ChunkInHand(
        message=message,
        chunk=_from_headers(message.headers, envelope),
        envelope=envelope,
        records=None,
        unreadable=reason,
    )


def _table(chunk: RecordChunk) -> pa.Table:
    try:
        table = pa.ipc.open_stream(chunk.records).read_all()
        table.validate()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Poison(f"the records are not a readable Arrow stream: {type(error).__name__}") from error
    columns = [("row_number", pa.int64()), *((f"c{position}", pa.string()) for position in range(len(chunk.columns)))]
    if not table.schema.equals(pa.schema(columns)) or table.num_rows + len(chunk.rejections) != chunk.record_count:
        raise Poison("the records are not those that the chunk announces")
    return table


def _from_headers(headers: Mapping[str, str], envelope: Envelope) -> RecordChunk:
    try:
        numbers = {name: _number(headers, name) for name in _COUNTS}
        return RecordChunk(
            upload_id=UUID(headers["upload_id"]),
            organization_id=envelope.organization_id,
            record_type="",
            record_type_version=0,
            columns=[],
            records=b"",
            rejections=[],
            digest=b"",
            **numbers,
        )
    except (KeyError, ValueError) as error:
        raise Poison(f"neither body nor headers name a chunk: {error}") from error


def _number(headers: Mapping[str, str], name: str) -> int:
    number = int(headers[name])
    if not 0 <= number < _MOST.get(name, _INTEGER):
        raise ValueError(f"{name} is {number}")
    return number


def texts_of(chunks: Sequence[ChunkInHand]) -> pl.DataFrame:
    """The records of several chunks of one record type as one table of text cells.

    Returns:
        `record` (0..n-1 in the chunks' order), `chunk` (its place in the list), `row_number`, and a String column for
        each column of the record type that a file has; null where a record's file has no such column.
    """
    frames = []
    for run in _runs_of_equal_columns(chunks):
        names = {f"c{place}": column["name"] for place, column in enumerate(run[0].chunk.columns) if column["name"]}
        table = pa.concat_tables([_records(chunk).select(["row_number", *names]) for chunk in run])
        frames.append(pl.DataFrame(pl.from_arrow(table)).rename(names))
    texts = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
    rows = [_records(chunk).num_rows for chunk in chunks]
    numbers = pl.Series("chunk", range(len(chunks)), dtype=pl.UInt32)
    of_chunk = numbers.to_frame().select(pl.col("chunk").repeat_by(pl.Series(rows)).explode()).to_series()
    return (
        texts.with_columns(of_chunk.drop_nulls()).with_row_index("record").with_columns(pl.col("record").cast(pl.Int64))
    )


def _records(chunk: ChunkInHand) -> pa.Table:
    if chunk.records is None:
        raise ValueError("an unreadable chunk has no records")
    return chunk.records


def _runs_of_equal_columns(chunks: Sequence[ChunkInHand]) -> list[list[ChunkInHand]]:
    runs: list[list[ChunkInHand]] = []
    for chunk in chunks:
        if runs and runs[-1][0].chunk.columns == chunk.chunk.columns:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs
