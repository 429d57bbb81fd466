"""A file cut into many small chunks, and what became of it."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from rowstream.kafka.topics import CHUNKS
from rowstream.messages import codec
from rowstream.messages.record_chunk import RecordChunk
from tests.servers import until
from tests.services import everything_in
from tests.uploads import Uploads, members

SLICE = {
    "SPLITTER__LEASE_SECONDS": "2",
    "SPLITTER__HEARTBEAT_SECONDS": "0.3",
    "SPLITTER__POLL_SECONDS": "0.2",
    "SPLITTER__WINDOW_CHUNKS": "4",
    "SPLITTER__CHUNK_RECORDS": "50",
    "SPLITTER__LANE_BYTES": "30000",
}
FACTS: dict[str, Any] = {"window_chunks": 4, "chunk_records": 50, "lane_bytes": 30_000}
COUNT = 1_000
FILE = members(COUNT)


def closed(uploads: Uploads, upload: UUID, *, seconds: float = 40.0) -> Any:
    until(
        lambda: (row := uploads.split(upload)) is not None and row.closed_at is not None,
        seconds=seconds,
        what="the end of the split",
    )
    return uploads.split(upload)


def chunks_sent(broker: str, upload: UUID) -> dict[int, list[RecordChunk]]:
    """What went out, by chunk number, in the order of sending."""
    sent = defaultdict(list)
    for message in everything_in(broker, CHUNKS):
        if message.headers["upload_id"] == str(upload):
            chunk = codec.decode(message.value, RecordChunk)
            sent[chunk.chunk_number].append(chunk)
    return sent


def loaded_exactly(uploads: Uploads, upload: UUID) -> None:
    assert sorted(uploads.loaded(upload)) == list(range(2, COUNT + 2))
    assert uploads.rejected(upload) == {}
    ledger = uploads.ledger(upload)
    assert sum(row.succeeded_records for row in ledger) == sum(row.records for row in ledger) == COUNT
    assert len(ledger) == uploads.split(upload).chunks
