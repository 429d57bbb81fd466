"""Who splits what: a lease on one upload, with an epoch, in the database's time.

Taking a lease raises its epoch, and every later write says `epoch = mine`. A splitter that was stopped, cut off or
declared dead finds at its next write that the epoch has moved on (`LeaseLost`) and can do no harm.

Idea: leases with fencing tokens (Gray and Cheriton 1989; Kleppmann 2016).
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from rowstream.database import outbox
from rowstream.errors import RowstreamError
from rowstream.kafka.topics import SPLIT_RESULTS
from rowstream.messages.envelope import Envelope
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit
from splitter import twins, waiting
from splitter.plan import Plan
from splitter.waiting import Job

SOURCE = "splitter"


class LeaseLost(RowstreamError):
    """Another splitter has the upload now, or it was closed; stop, and touch nothing."""


_BEAT = text("""
    UPDATE upload_splits
    SET lease_until = clock_timestamp() + make_interval(secs => :seconds),
        records_split = greatest(records_split, :records), bytes_read = greatest(bytes_read, :bytes)
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")
_RAISE_EPOCH = text("""
    UPDATE upload_splits SET epoch = epoch + 1
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")
_PIN = text("""
    UPDATE upload_splits SET plan = :plan, content_sha256 = coalesce(:sha256, content_sha256)
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""").bindparams(bindparam("plan", type_=JSONB))
_MAKE_LANES = text("""
    INSERT INTO upload_lanes (organization_id, batch_upload_id, lane)
    SELECT :organization_id, :upload_id, lane FROM generate_series(0, :lanes - 1) AS lane ON CONFLICT DO NOTHING
""")
_SPLIT = text("""
    UPDATE upload_splits
    SET chunks = :chunks, records = :records, records_split = :records, bytes_read = :bytes,
        content_sha256 = :sha256, duplicate_of = :duplicate_of, split_at = clock_timestamp()
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")
_FAIL = text("""
    UPDATE upload_splits
    SET failure_code = :code, failure_message = :message, records_split = :records, bytes_read = :bytes,
        duplicate_of = :duplicate_of, holder = NULL, closed_at = clock_timestamp()
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")
_CLOSE = text("""
    UPDATE upload_splits SET holder = NULL, closed_at = clock_timestamp()
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")
_RELEASE = text("""
    UPDATE upload_splits SET holder = NULL, lease_until = NULL
    WHERE batch_upload_id = :upload_id AND epoch = :epoch AND closed_at IS NULL
""")


class Lease:
    """The right to split one upload; its holder's every write goes through here."""

    def __init__(self, engine: Engine, job: Job, seconds: float) -> None:
        self.job = job
        self.records_split = 0
        self.bytes_read = 0
        self._engine, self._epoch, self._seconds = engine, job.epoch, seconds
        self._lost = self._over = False
        self._lock = threading.Lock()  # the heartbeat thread and the splitting thread both write

    @classmethod
    def take(
        cls,
        engine: Engine,
        *,
        holder: str,
        seconds: float,
        at_most_bytes: int | None = None,
        not_in: Collection[str] = (),
    ) -> "Lease | None":
        """The lease of the next upload (`waiting.take`), if one waits."""
        job = waiting.take(engine, holder=holder, seconds=seconds, at_most_bytes=at_most_bytes, not_in=not_in)
        return None if job is None else cls(engine, job, seconds)

    @property
    def epoch(self) -> int:
        """The epoch that this lease is in."""
        return self._epoch

    def check(self) -> None:
        """Go on only while nothing says that the lease is lost.

        Raises:
            LeaseLost: a write found that it is another's.
        """
        if self._lost:
            raise LeaseLost(f"upload {self.job.upload_id} is another splitter's now")

    def beat(self) -> None:
        """Stay the holder, and let people see how far the split is; nothing once the lease was let go of.

        A second split begins at the start: what people see does not go back.
        """
        with self._lock, self._engine.begin() as connection:
            if self._over:
                return
            self._write(connection, _BEAT, seconds=self._seconds, records=self.records_split, bytes=self.bytes_read)

    def raise_epoch(self) -> int:
        """Begin the next epoch, under which chunks are sent again."""
        with self._lock:
            with self._engine.begin() as connection:
                self._write(connection, _RAISE_EPOCH)
            self._epoch += 1
            return self._epoch

    def pin(self, plan: Plan, *, look: Callable[[Connection], bytes | None] | None = None) -> None:
        """Store the plan, with its lanes; nothing may be sent before.

        Args:
            plan: What all cutting depends on.
            look: A last look in the same transaction, which may raise; gives the file's SHA-256 if that is known.
        """
        with self._lock, self._engine.begin() as connection:
            sha256 = look(connection) if look else None
            stored = plan.stored()
            self._write(connection, _PIN, plan=stored, sha256=sha256)
            facts = {"organization_id": self.job.organization_id, "upload_id": self.job.upload_id, "lanes": plan.lanes}
            connection.execute(_MAKE_LANES, facts)
        self.job = replace(self.job, plan=stored)

    def split(self, *, chunks: int, records: int, sha256: bytes) -> UUID | None:
        """The file was read to its end: say how much there is, and what.

        Returns:
            The earliest upload of the same bytes, unless the organization does not want to know.
        """
        job = self.job
        warned = job.duplicate_policy != "allow"
        message = UploadSplit(
            upload_id=job.upload_id,
            organization_id=job.organization_id,
            attempt=job.attempt,
            chunks=chunks,
            records=records,
        )
        with self._lock, self._engine.begin() as connection:
            twins.lock(connection, job)
            twin = twins.earliest(connection, job, sha256) if warned else None
            facts = {"chunks": chunks, "records": records, "bytes": self.bytes_read}
            self._write(connection, _SPLIT, **facts, sha256=sha256, duplicate_of=twin)
            if warned and twin is None:
                twins.mark_later(connection, job, sha256)
            self._announce(connection, "upload_split", message)
        return twin

    def fail(self, code: str, message: str, *, duplicate_of: UUID | None = None) -> None:
        """The file is not split: say why (it may be the same as another upload's), and let go of it."""
        job = self.job
        failed = UploadFailed(
            upload_id=job.upload_id,
            organization_id=job.organization_id,
            attempt=job.attempt,
            code=code,
            message=message,
        )
        with self._lock, self._engine.begin() as connection:
            self._over = True
            facts = {"records": self.records_split, "bytes": self.bytes_read, "duplicate_of": duplicate_of}
            self._write(connection, _FAIL, code=code, message=message, **facts)
            self._announce(connection, "upload_failed", failed)

    def close(self) -> None:
        """Every chunk is in the ledger: nothing is left to do."""
        with self._lock, self._engine.begin() as connection:
            self._over = True
            self._write(connection, _CLOSE)

    def release(self) -> None:
        """Let another splitter go on at once."""
        with self._lock, self._engine.begin() as connection:
            self._over = True
            self._write(connection, _RELEASE)

    def _write(self, connection: Connection, statement: Any, **facts: object) -> None:
        ours = {"upload_id": self.job.upload_id, "epoch": self._epoch}
        if connection.execute(statement, {**facts, **ours}).rowcount != 1:
            self._lost = True
            self.check()

    def _announce(self, connection: Connection, type_: str, message: UploadSplit | UploadFailed) -> None:
        job = self.job
        envelope = Envelope.new(
            type_,
            source=SOURCE,
            organization_id=job.organization_id,
            correlation_id=job.correlation_id,
            traceparent=job.traceparent,
        )
        outbox.put(connection, topic=SPLIT_RESULTS, key=str(job.upload_id), message=message, envelope=envelope)
