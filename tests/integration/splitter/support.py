"""A file cut into many small chunks, and what became of it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rowstream.kafka.topics import CHUNKS
from rowstream.messages import codec
from rowstream.messages.record_chunk import RecordChunk
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit
from rowstream.storage.s3 import S3Store
from tests.servers import until
from tests.services import announce, everything_in
from tests.uploads import Uploads, accepted_event, members

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


@dataclass(frozen=True)
class System:
    """One splitter and one processor, shared by the tests of a module."""

    database: str
    broker: str
    uploads: Uploads
    store: S3Store

    def hand_in(self, data: bytes, **facts: Any) -> UUID:
        """Accept a file and say so."""
        upload = self.uploads.accept_file(self.store, data, **facts)
        self.announce(upload)
        return upload

    def announce(self, *uploads: UUID) -> None:
        """Say that these uploads were accepted, each for its own organization."""
        events = [accepted_event(upload, self.uploads.upload(upload).organization_id) for upload in uploads]
        announce(self.broker, *events)

    def closed(self, upload: UUID) -> Any:
        """The split's row, once it is closed."""
        return closed(self.uploads, upload)

    def chunks_sent(self, upload: UUID) -> list[RecordChunk]:
        """Every chunk that went out, as often as it did."""
        return [
            codec.decode(message.value, RecordChunk)
            for message in everything_in(self.broker, CHUNKS)
            if message.headers["upload_id"] == str(upload)
        ]

    def told(self, upload: UUID) -> list[tuple[str, Any]]:
        """What was put into the outbox about an upload."""
        kinds: dict[str, type[UploadSplit | UploadFailed]] = {
            "rowstream.upload_split": UploadSplit,
            "rowstream.upload_failed": UploadFailed,
        }
        rows = self.uploads.execute(
            "SELECT headers, payload FROM outbox WHERE message_key = :key ORDER BY id", key=str(upload).encode()
        )
        return [
            (row.headers["ce_type"], codec.decode(bytes(row.payload), kinds[row.headers["ce_type"]])) for row in rows
        ]
