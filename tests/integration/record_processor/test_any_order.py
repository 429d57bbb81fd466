"""However chunks are batched, lost, repeated and reordered on their way: the outcome is that of one batch."""

import io
from collections import deque
from random import Random
from typing import Any
from uuid import UUID

import pytest

from record_processor.batch import read
from record_processor.process import Processor
from record_processor.recover import settle
from rowstream.messages.record_chunk import RecordChunk
from rowstream.records.sample import write_sample
from tests.integration.record_processor.test_process import NoSchemas
from tests.integration.record_processor.test_recover import never
from tests.servers import make_organization
from tests.uploads import MEMBERS, Uploads, again, chunks_of, received

Outcome = tuple[dict[int, object], dict[int, object], list[tuple[Any, ...]]]

LANES = 3
RECORDS = 100


@pytest.fixture(scope="module")
def file() -> bytes:
    output = io.BytesIO()
    write_sample(MEMBERS, RECORDS, output=output, bad=0.15, duplicates=0.25, seed=7)
    return output.getvalue()


class Way:
    """A splitter and a broker in between, of the worst kind: chunks go again when their lane does not move."""

    def __init__(self, uploads: Uploads, upload: UUID, chunks: list[RecordChunk], random: Random) -> None:
        self._uploads, self._upload, self._chunks, self._random = uploads, upload, chunks, random
        self._epoch = 1
        self._queue = deque(again(chunks, 1))

    @property
    def done(self) -> bool:
        """Whether every chunk was settled."""
        settled = self._uploads.settled(self._upload)
        return all(chunk.lane_seq < settled[chunk.lane] for chunk in self._chunks)

    def next_batch(self) -> list[RecordChunk]:
        """What a processor takes next."""
        if not self._queue:
            self._send_again()
        fate = self._random.random()
        if fate < 0.15:
            self._queue.popleft()  # lost
        elif fate < 0.3:
            self._queue.extend(list(self._queue)[:5])  # twice
        elif fate < 0.45:
            shuffled = list(self._queue)
            self._random.shuffle(shuffled)
            self._queue = deque(shuffled)
        size = min(len(self._queue), self._random.choice([1, 1, 2, 3, 5, 32]))
        return [self._queue.popleft() for _ in range(size)]

    def _send_again(self) -> None:
        self._epoch += 1
        settled = self._uploads.settled(self._upload)
        missing = [chunk for chunk in self._chunks if chunk.lane_seq >= settled[chunk.lane]]
        self._queue.extend(again(missing, self._epoch))


def process(processor: Processor, chunks: list[RecordChunk]) -> None:
    if chunks:
        settle(processor, [read(received(chunk), NoSchemas()) for chunk in chunks], MEMBERS, pause=never)


def outcome(uploads: Uploads, upload: UUID) -> Outcome:
    """All that a file becomes, without what differs between two uploads of it."""
    rows: dict[int, object] = {
        number: tuple(row)[1:-3]  # without organization, upload, row number, moment
        for number, row in uploads.loaded(upload).items()
    }
    rejections: dict[int, object] = {
        number: (row.error_code, row.error_message.replace(str(upload), "ours"), row.row_data, row.raw_text)
        for number, row in uploads.rejected(upload).items()
    }
    ledger = [
        (row.chunk_number, row.records, row.succeeded_records, row.failed_records, row.errors_by_code, row.digest)
        for row in uploads.ledger(upload)
    ]
    return rows, rejections, ledger


def handed_in(uploads: Uploads, url: str, name: str, file: bytes, chunk_records: int) -> tuple[UUID, list[RecordChunk]]:
    organization = make_organization(url, name)  # of its own, so that no other run has its keys
    upload = uploads.accept(organization=organization)
    uploads.note(upload, lanes=LANES)
    return upload, chunks_of(file, upload, lanes=LANES, chunk_records=chunk_records, organization=organization)


def test_any_way_gives_the_same_outcome(uploads: Uploads, processor: Processor, database_url: str, file: bytes) -> None:
    expected: dict[int, Outcome] = {}
    for chunk_records in (4, 9):
        upload, chunks = handed_in(uploads, database_url, f"one batch of {chunk_records}", file, chunk_records)
        process(processor, chunks)
        expected[chunk_records] = rows, rejections, ledger = outcome(uploads, upload)
        assert sorted([*rows, *rejections]) == list(range(2, RECORDS + 2))
        assert len(rejections) > RECORDS // 4
        assert sum(line[2] for line in ledger) == len(rows)
    assert expected[4][:2] == expected[9][:2]

    for seed in range(4):
        random = Random(seed)
        chunk_records = random.choice([4, 9])
        upload, chunks = handed_in(uploads, database_url, f"way {seed}", file, chunk_records)
        way = Way(uploads, upload, chunks, random)
        while not way.done:
            process(processor, way.next_batch())
        process(processor, chunks)  # and all of it once more
        assert outcome(uploads, upload) == expected[chunk_records], f"seed {seed}"
