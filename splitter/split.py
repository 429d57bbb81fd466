"""Splits one upload, from the stored object to the last chunk."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
from sqlalchemy import Engine, select

from rowstream.database.tables import processed_chunks, upload_lanes
from rowstream.errors import Fatal
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import CHUNKS
from rowstream.messages.record_chunk import RecordChunk
from rowstream.records import RecordType, registry
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import BYTES_READ, CHUNK_SIZE, RECORDS_SPLIT
from rowstream.runtime.steps import Step, reached
from rowstream.storage.s3 import S3Store
from splitter.budget import Share
from splitter.chunks import Chunk, Cutter
from splitter.content import Digests, Hashed, pin_unless_known
from splitter.header import Column
from splitter.lanes import lanes_of
from splitter.lease import Lease
from splitter.limits import Limits
from splitter.plan import Plan, limits_of, make_plan
from splitter.reader import PARSER_RULES, Reading, open_reading
from splitter.sender import Sender
from splitter.settings import SplitterSlice
from splitter.waiting import Job
from splitter.window import Window

log = get_logger(__name__)


class SplitDiffers(Fatal):
    """A second split made another chunk than the first: the object, or the code that cuts, is not the same."""


@dataclass(frozen=True)
class Tools:
    """What splitting needs of the world."""

    engine: Engine
    store: S3Store
    digests: Digests
    producer: Producer
    settings: SplitterSlice
    stop: threading.Event
    crowded: Callable[[], bool]
    """Whether every slot for uploads of any size is taken."""


def split(lease: Lease, tools: Tools, share: Share) -> None:
    """Split the upload under this lease and hold the lease until every chunk has its ledger row.

    Raises:
        FileRejected, SameFile, ObjectMissing, ObjectChanged, SplitDiffers, UnknownRecordType: the upload has failed.
        StoreUnavailable, StandsStill, Retryable: it may succeed later.
        LeaseLost, UploadClosed, Unwanted, Stopping: leave it.
    """
    job = lease.job
    lease.records_split = lease.bytes_read = 0
    record_type = registry.find(job.record_type)
    plan = Plan.read(job.plan) if job.plan else None
    limits = Limits(**plan.limits) if plan else limits_of(tools.settings)
    stream = tools.store.open(job.bucket, job.key, etag=job.etag, size=job.size_bytes)
    try:
        content = Hashed(stream)
        rules = plan.parser_rules if plan else PARSER_RULES
        block_bytes = share.block_bytes(tools.settings.block_bytes)
        reading = open_reading(content, record_type, limits, block_bytes, rules=rules)
        plan = plan or _pin(lease, reading, record_type, limits, tools)
        columns = _columns(plan, reading)
        _send_all(lease, _cut(reading, columns, record_type, plan, lease, share), plan, content, tools, share)
    finally:
        stream.close()


def _pin(lease: Lease, reading: Reading, record_type: RecordType, limits: Limits, tools: Tools) -> Plan:
    plan = make_plan(
        etag=lease.job.etag,
        size_bytes=lease.job.size_bytes,
        columns=reading.columns,
        record_type=record_type,
        partitions=tools.producer.partitions_of(CHUNKS),
        limits=limits,
        settings=tools.settings,
    )
    if lease.job.duplicate_policy == "refuse":
        pin_unless_known(lease, plan, tools.digests)
    else:
        lease.pin(plan)
    reached(Step.PLAN_PINNED)
    return plan


def _columns(plan: Plan, reading: Reading) -> tuple[Column, ...]:
    """What the plan says that the columns are, whatever spellings this version of the record type takes.

    Raises:
        SplitDiffers: the file has other headers than the plan.
    """
    planned = tuple(Column(str(column["header"]), column["name"]) for column in plan.columns)
    if [column.header for column in planned] != [column.header for column in reading.columns]:
        raise SplitDiffers("the file's header is not the one that was read before; hand the file in as a new upload")
    return planned


def _send_all(lease: Lease, cut: Iterator[Chunk], plan: Plan, content: Hashed, tools: Tools, share: Share) -> None:
    sender = Sender(
        engine=tools.engine,
        producer=tools.producer,
        lease=lease,
        window=Window(stall_seconds=tools.settings.stall_seconds),
        share=share,
        partitions=plan.partitions,
        queue_seconds=tools.settings.queue_seconds,
        stop=tools.stop,
        crowded=tools.crowded,
    )
    settled = _Settled(tools.engine, lease.job)
    chunks = records = 0
    for chunk in cut:
        chunks, records = chunks + 1, records + chunk.record_count
        state = settled.state_of(chunk)
        if state is not ChunkState.SETTLED:
            sender.send(_message(chunk, plan, lease.job), redriven=state is ChunkState.REDRIVEN)
    if not lease.job.already_split:
        twin = lease.split(chunks=chunks, records=records, sha256=content.sha256)
        reached(Step.FILE_SPLIT)
        if twin:
            log.info("the same file as an earlier upload", duplicate_of=str(twin))
    log.info("file split", chunks=chunks, records=records, bytes_read=lease.bytes_read)
    sender.settle()
    lease.close()


def _cut(
    reading: Reading, columns: tuple[Column, ...], record_type: RecordType, plan: Plan, lease: Lease, share: Share
) -> Iterator[Chunk]:
    cutter = Cutter(plan.lanes, max_records=plan.chunk_records, max_bytes=plan.chunk_bytes)
    batches, before = iter(reading), 0

    def read_and_cut() -> list[Chunk] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        return cutter.add(batch, lanes_of(batch.records, columns, record_type, plan.lanes))

    while (chunks := share.read(read_and_cut, plan.size_bytes)) is not None:
        yield from _counted(chunks, lease, record_type)
        BYTES_READ.inc(reading.bytes_read - before)
        before = lease.bytes_read = reading.bytes_read
    lease.bytes_read = reading.bytes_read
    yield from _counted(cutter.finish(), lease, record_type)


def _counted(chunks: list[Chunk], lease: Lease, record_type: RecordType) -> Iterator[Chunk]:
    for chunk in chunks:
        lease.records_split += chunk.record_count
        RECORDS_SPLIT.labels(record_type.name).inc(chunk.record_count)
        CHUNK_SIZE.labels(record_type.name).set(chunk.record_count)
        yield chunk


class ChunkState(Enum):
    """What a chunk is to a split that comes after another."""

    NEW = "new"
    SETTLED = "settled"
    REDRIVEN = "redriven"  # an earlier attempt left it unprocessed: it goes again


class _Settled:
    """What the ledger had when the lease was taken; a second split skips it, and checks it."""

    def __init__(self, engine: Engine, job: Job) -> None:
        lanes, ledger = upload_lanes.c, processed_chunks.c
        with engine.connect() as connection:
            next_seqs = connection.execute(
                select(lanes.lane, lanes.next_seq).where(lanes.batch_upload_id == job.upload_id)
            )
            self._next_seq = {row.lane: row.next_seq for row in next_seqs}
            rows = connection.execute(
                select(ledger.chunk_number, ledger.digest, ledger.outcome, ledger.attempt).where(
                    ledger.batch_upload_id == job.upload_id
                )
            ).all()
        self._digests = {row.chunk_number: row.digest for row in rows}
        self._redriven = {
            row.chunk_number for row in rows if row.outcome == "unprocessed" and row.attempt < job.attempt
        }

    def state_of(self, chunk: Chunk) -> ChunkState:
        """What the ledger makes of the chunk.

        Raises:
            SplitDiffers: it has it, but with other content.
        """
        if chunk.lane_seq >= self._next_seq.get(chunk.lane, 0):
            return ChunkState.NEW
        known = self._digests.get(chunk.chunk_number)
        if known and known != chunk.digest:
            raise SplitDiffers(
                f"chunk {chunk.chunk_number} (rows {chunk.first_row} to {chunk.last_row}) is not the one that was"
                " processed before; hand the file in again as a new upload"
            )
        return ChunkState.REDRIVEN if chunk.chunk_number in self._redriven else ChunkState.SETTLED


def _message(chunk: Chunk, plan: Plan, job: Job) -> RecordChunk:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, chunk.records.schema) as writer:
        writer.write_table(chunk.records)
    return RecordChunk(
        upload_id=job.upload_id,
        organization_id=job.organization_id,
        attempt=job.attempt,
        epoch=job.epoch,
        lane=chunk.lane,
        lane_seq=chunk.lane_seq,
        chunk_number=chunk.chunk_number,
        record_type=plan.record_type,
        record_type_version=plan.record_type_version,
        first_row=chunk.first_row,
        last_row=chunk.last_row,
        record_count=chunk.record_count,
        columns=plan.columns,
        records=sink.getvalue().to_pybytes(),
        rejections=[
            {"row_number": bad.row_number, "code": bad.code, "message": bad.message, "raw": bad.raw}
            for bad in chunk.rejections
        ],
        digest=chunk.digest,
    )
