"""Sends the chunks of one upload, within its window, and again where they were lost."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Engine, literal_column, select

from rowstream.database.hold import IS_HELD
from rowstream.database.standstills import stands_still
from rowstream.database.tables import batch_uploads, processed_chunks, upload_control, upload_lanes
from rowstream.errors import Retryable
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import CHUNKS
from rowstream.messages import codec
from rowstream.messages.envelope import Envelope
from rowstream.messages.record_chunk import RecordChunk
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import CHUNKS_SENT
from rowstream.runtime.steps import Step, reached
from splitter.budget import Held, Share
from splitter.lease import SOURCE, Lease
from splitter.pace import Pace
from splitter.window import LaneState, Window, held_bytes

log = get_logger(__name__)

_LOOK_SECONDS = 0.2  # how often to look at the lanes while there is room
# How often when there is none, if no other upload is in hand: the fuller the window, the longer until it runs empty.
_WAIT_SECONDS, _WAIT_PER_CHUNK, _LONGEST_WAIT = 0.02, 0.001, 0.1
_FAILED_SECONDS = 1.0  # how long to wait before sending again what the broker did not take


class UploadClosed(Exception):
    """The upload was cancelled or has failed elsewhere: its chunks are wanted no more."""


class Unwanted(Exception):
    """Somebody asked for the upload to be paused or cancelled: let go of it."""


class Stopping(Exception):
    """The service is asked to stop: let another splitter go on."""


class StandsStill(Retryable):
    """Its record type stands still and all slots are taken: let go of the upload, so that others have their turn."""


class Sender:
    """Everything that goes out of one upload."""

    def __init__(
        self,
        *,
        engine: Engine,
        producer: Producer,
        lease: Lease,
        window: Window,
        share: Share,
        partitions: int,
        queue_seconds: float,
        stop: threading.Event,
        crowded: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._producer, self._lease, self._window = engine, producer, lease, window
        self._share, self._partitions, self._stop, self._clock = share, partitions, stop, clock
        self._crowded = crowded
        self._undelivered = 0  # bytes that the producer has
        self._pace = Pace(seconds=queue_seconds, now=clock())
        self._looked_at = -math.inf  # look before the first chunk
        self._failed = self._held = False
        job = lease.job
        self._first_partition = job.upload_id.int % partitions
        self._envelope = Envelope.new(
            "record_chunk",
            source=SOURCE,
            organization_id=job.organization_id,
            correlation_id=job.correlation_id,
            traceparent=job.traceparent,
        )

    def send(self, chunk: RecordChunk, *, redriven: bool = False) -> None:
        """Send a chunk for the first time in this attempt, when there is room for it.

        `redriven`: the ledger has it as unprocessed, by an earlier attempt.

        Raises:
            LeaseLost, UploadClosed, Unwanted, StandsStill, Stopping: stop splitting.
        """
        if self._clock() - self._looked_at >= _LOOK_SECONDS:
            self._look()
        while not self._has_room:
            self._wait()
        current = replace(chunk, epoch=self._lease.epoch)
        self._window.add(current, self._clock(), redriven=redriven)
        self._produce(current, "first")
        self._note()

    def settle(self) -> None:
        """Wait until every chunk sent has its ledger row, sending again what must be.

        Raises:
            LeaseLost, UploadClosed, Unwanted, StandsStill, Stopping: stop splitting.
        """
        self._look()
        while not self._window.empty:
            self._wait()

    @property
    def _has_room(self) -> bool:
        """Whether a new chunk may go; nothing new does while the supervisor holds the splitters back."""
        return not self._held and self._window.held.chunks < self._pace.chunks and self._share.may_hold_more

    def _note(self) -> None:
        held = self._window.held
        self._share.note(Held(held.chunks, held.bytes + self._undelivered))

    def _wait(self) -> None:
        if self._failed:
            self._failed = False
            self._stop.wait(_FAILED_SECONDS)
        wait = min(max(_WAIT_SECONDS, _WAIT_PER_CHUNK * self._window.held.chunks), _LONGEST_WAIT)
        self._producer.poll(wait * self._share.uploads)
        self._look()

    def _look(self) -> None:
        self._lease.check()
        if self._stop.is_set():
            raise Stopping
        self._looked_at = self._clock()
        before = self._window.held.chunks
        self._window.observe(self._lanes(), self._clock(), self._redone())
        self._pace.settled(before - self._window.held.chunks, self._clock())
        self._note()
        if self._window.must_resend:
            epoch = self._lease.raise_epoch()
            again = self._window.take_resends(epoch)
            log.info("sending chunks again", chunks=len(again), epoch=epoch)
            for chunk in again:
                self._produce(replace(chunk, epoch=epoch), "again")

    def _lanes(self) -> list[LaneState]:
        lanes = upload_lanes.c
        query = (
            select(
                lanes.lane,
                lanes.next_seq,
                lanes.gap_epoch,
                batch_uploads.c.status,
                upload_control.c.requested,
                literal_column(IS_HELD).label("held"),
                stands_still(self._lease.job.record_type).label("stands_still"),
            )
            .join(batch_uploads, batch_uploads.c.id == lanes.batch_upload_id)
            .outerjoin(upload_control, upload_control.c.batch_upload_id == lanes.batch_upload_id)
            .where(lanes.batch_upload_id == self._lease.job.upload_id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        self._held = bool(rows and rows[0].held)
        if rows and rows[0].status in ("cancelled", "failed"):
            raise UploadClosed
        if rows and rows[0].requested not in (None, "run"):
            raise Unwanted
        if rows and rows[0].stands_still and self._crowded():
            raise StandsStill(f"record type {self._lease.job.record_type} stands still, and no slot is free for others")
        return [LaneState(row.lane, row.next_seq, row.gap_epoch) for row in rows]

    def _redone(self) -> set[int]:
        waiting, job, ledger = self._window.redriven, self._lease.job, processed_chunks.c
        if not waiting:
            return set()
        query = select(ledger.chunk_number).where(
            ledger.batch_upload_id == job.upload_id,
            ledger.chunk_number.in_(waiting),
            ledger.attempt >= job.attempt,
        )
        with self._engine.connect() as connection:
            return set(connection.scalars(query))

    def _produce(self, chunk: RecordChunk, reason: str) -> None:
        size = held_bytes(chunk)
        self._undelivered += size

        def report(error: str | None, lane: int = chunk.lane) -> None:
            self._undelivered -= size
            if error:
                self._window.failed(lane)
                self._failed = True
            else:
                reached(Step.CHUNK_PRODUCED)

        # A chunk's id stays the same when it is sent again, so that any reader can tell.
        envelope = replace(self._envelope, id=f"{chunk.upload_id}/{chunk.attempt}/{chunk.chunk_number}")
        try:
            self._producer.send(
                CHUNKS,
                codec.encode(chunk),
                key=str(chunk.upload_id).encode(),
                headers={**envelope.headers(), **accounting_headers(chunk)},
                partition=(self._first_partition + chunk.lane) % self._partitions,
                on_delivery=report,
            )
        except Retryable as error:
            report(str(error))
        CHUNKS_SENT.labels(reason).inc()


def accounting_headers(chunk: RecordChunk) -> dict[str, str]:
    """What lets a processor account for a chunk whose body it cannot read."""
    names = (
        "upload_id",
        "attempt",
        "epoch",
        "lane",
        "lane_seq",
        "chunk_number",
        "record_count",
        "first_row",
        "last_row",
    )
    return {name: str(getattr(chunk, name)) for name in names}
