"""The splitter's loops: take in what was accepted, fill the slots, keep the leases alive."""

import os
import socket
import threading
from collections.abc import Callable

import polars as pl
import tenacity
from sqlalchemy import Engine, exc

from rowstream.database.connection import first_line, is_away
from rowstream.errors import Fatal, Poison, Retryable
from rowstream.kafka.consumer import Consumer, Received
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.delivery import deliver
from rowstream.kafka.producer import OnDelivery, Producer
from rowstream.messages import codec
from rowstream.messages.patience import SchemaPatience
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.runtime.logging import get_logger, log_context, traced
from rowstream.runtime.metrics import LEASES_HELD
from rowstream.runtime.service import Running
from rowstream.runtime.steps import Step, reached
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectChanged, ObjectMissing, StoreUnavailable
from splitter.header import FileRejected
from splitter.lease import Lease, LeaseLost
from splitter.sender import Stopping, Unwanted, UploadClosed
from splitter.settings import SplitterSlice
from splitter.split import Tools, split
from splitter.waiting import enqueue, tidy

log = get_logger(__name__)

GROUP = "splitter"
_STORE_TRIES = 5
_AWAY_SECONDS = 1.0


class SplitterService:
    """One splitter: a consumer of upload events, and slots that each split one upload at a time."""

    def __init__(
        self,
        *,
        running: Running,
        engine: Engine,
        store: S3Store,
        consumer: Consumer,
        make_producer: Callable[[], Producer],
        schemas: codec.SchemaStore,
        settings: SplitterSlice,
    ) -> None:
        self._running, self._engine, self._store = running, engine, store
        self._consumer, self._make_producer, self._schemas = consumer, make_producer, schemas
        self._settings = settings
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        self._work = threading.Condition()
        self._leases: set[Lease] = set()
        self._dead_letters = make_producer()
        self._schema_patience = SchemaPatience(settings.schema_patience_seconds)
        self._fault: BaseException | None = None

    def run(self) -> None:
        """Work until asked to stop; then give the leases back.

        Raises:
            Exception: whatever a slot failed with that nobody foresaw; the others have stopped.
        """
        slots = [threading.Thread(target=self._slot, name=f"slot-{n}") for n in range(self._settings.slots)]
        heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        tidier = threading.Thread(target=self._tidy, name="tidy", daemon=True)
        for thread in (*slots, heart, tidier):
            thread.start()
        try:
            while not self._running.stop.is_set():
                self._running.health.beat()
                self._take_in(self._consumer.poll(at_most=100, timeout=0.5))
                self._consumer.measure_lag()
        finally:
            self._running.stop.set()
            self._wake()
            for thread in slots:
                thread.join()
            self._consumer.close()
        if self._fault:
            raise self._fault

    def _take_in(self, messages: list[Received]) -> None:
        for message in messages:
            try:
                self._take_in_one(message)
            except Stopping:
                return
            self._consumer.settle([message])
        if messages:
            self._running.health.ok("intake")
            self._consumer.commit()
            self._wake()

    def _take_in_one(self, message: Received) -> None:
        while True:
            try:
                self._enqueue(message)
            except (Retryable, exc.SQLAlchemyError) as error:
                if not (isinstance(error, Retryable) or is_away(error)):
                    raise
                self._wait(first_line(error))
            else:
                return

    def _enqueue(self, message: Received) -> None:
        try:
            accepted = codec.decode(message.value, UploadAccepted, self._schemas)
        except codec.UnknownSchema as error:
            if not self._schema_patience.is_over(error):
                raise
            self._put_aside(message, error)
        except Poison as error:
            self._put_aside(message, error)
        else:
            with self._engine.begin() as connection:
                enqueue(connection, accepted.upload_id)
            reached(Step.UPLOAD_ENQUEUED)

    def _put_aside(self, message: Received, error: Exception) -> None:
        def send(on_delivery: OnDelivery) -> None:
            put_aside(self._dead_letters, message, stage="VALUE_CONVERTER", error=error, on_delivery=on_delivery)

        deliver(self._dead_letters, [send], pause=self._wait)

    def _wait(self, reason: str) -> None:
        """Wait a moment, a member of the group all the while.

        Raises:
            Stopping: the service is asked to stop.
        """
        if self._running.stop.is_set():
            raise Stopping
        self._running.health.beat()
        self._running.health.waiting("intake", reason)
        self._consumer.keep_alive(_AWAY_SECONDS)

    def _wake(self) -> None:
        with self._work:
            self._work.notify_all()

    def _slot(self) -> None:
        try:
            self._fill()
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - kept, and raised by `run`
            log.critical("a slot failed, the service ends", **traced(error))
            self._fault = error
            self._running.stop.set()

    def _fill(self) -> None:
        producer = self._make_producer()
        tools = Tools(self._engine, self._store, producer, self._settings, self._running.stop)
        while not self._running.stop.is_set():
            try:
                lease = Lease.take(self._engine, holder=self._holder, seconds=self._settings.lease_seconds)
                self._running.health.ok("database")
                if lease is not None:
                    reached(Step.LEASE_TAKEN)
                    self._hold(lease, tools)
                    continue
            except exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                self._running.health.waiting("database", first_line(error))
                self._running.stop.wait(_AWAY_SECONDS)
                continue
            with self._work:
                self._work.wait(self._settings.poll_seconds)
        producer.flush(5)

    def _hold(self, lease: Lease, tools: Tools) -> None:
        job = lease.job
        self._leases.add(lease)
        LEASES_HELD.set(len(self._leases))
        with log_context(upload_id=str(job.upload_id), correlation_id=job.correlation_id):
            try:
                log.info("splitting", epoch=job.epoch, size_bytes=job.size_bytes, record_type=job.record_type)
                self._work_on(lease, tools)
            except LeaseLost:
                log.warning("lease lost: another splitter has the upload, or it was closed")
            finally:
                self._leases.discard(lease)
                LEASES_HELD.set(len(self._leases))

    def _work_on(self, lease: Lease, tools: Tools) -> None:
        try:
            self._split(lease, tools)
        except UploadClosed:
            lease.close()
        except Unwanted:
            log.info("let go of: a pause or cancellation was asked for")
            lease.release()
        except Stopping:
            tools.producer.flush(2)
            lease.release()
        except Retryable as error:
            log.warning("cannot go on for now", reason=str(error))
            lease.release()
            self._running.stop.wait(_AWAY_SECONDS)

    def _split(self, lease: Lease, tools: Tools) -> None:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailable),
            stop=tenacity.stop_after_attempt(_STORE_TRIES),
            wait=tenacity.wait_exponential_jitter(multiplier=0.5, max=10),
            sleep=self._pause,
            reraise=True,
        )
        try:
            retrying(split, lease, tools)
        except FileRejected as error:
            _fail(lease, error.code, error.message)
        except StoreUnavailable as error:
            _fail(lease, "S3_001", f"{error}; tried {_STORE_TRIES} times. Retry the upload when the store is back")
        except ObjectMissing as error:
            _fail(lease, "S3_002", f"{error}; hand the file in again")
        except ObjectChanged as error:
            _fail(lease, "S3_003", f"{error}; hand the file in again as a new upload")
        except (Fatal, Poison) as error:
            _fail(lease, "UNK_001", str(error))
        except (LeaseLost, UploadClosed, Unwanted, Stopping, Retryable):
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            if is_away(error):
                raise
            # Whatever else it is, this upload alone has failed, and a person must look.
            log.error("splitting failed", **traced(error))  # noqa: TRY400 - the error's own text may hold a cell
            _fail(lease, "UNK_001", f"splitting failed unexpectedly ({type(error).__name__}); the log says more")

    def _pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopping: the service is asked to stop.
        """
        if self._running.stop.wait(seconds):
            raise Stopping

    def _beat(self) -> None:
        while not self._running.stop.wait(self._settings.heartbeat_seconds):
            for lease in tuple(self._leases):
                try:
                    lease.beat()
                except LeaseLost:
                    self._leases.discard(lease)
                except exc.SQLAlchemyError as error:
                    self._running.health.waiting("database", first_line(error))

    def _tidy(self) -> None:
        while not self._running.stop.wait(self._settings.poll_seconds):
            try:
                tidy(self._engine)
            except exc.SQLAlchemyError as error:
                self._running.health.waiting("database", first_line(error))


def _fail(lease: Lease, code: str, message: str) -> None:
    log.warning("upload failed", code=code, reason=message)
    lease.fail(code, message)
