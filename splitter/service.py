"""The splitter's loops: take in what was accepted, fill the slots, keep the leases alive."""

import os
import socket
import threading
from collections.abc import Callable

import tenacity
from sqlalchemy import Engine, exc

from rowstream.database.connection import first_line
from rowstream.errors import Fatal, Poison, Retryable
from rowstream.kafka.consumer import Consumer, Received
from rowstream.kafka.dead_letters import put_aside
from rowstream.kafka.producer import Producer
from rowstream.messages import codec
from rowstream.messages.upload_accepted import UploadAccepted
from rowstream.runtime.logging import get_logger, log_context
from rowstream.runtime.metrics import LEASES_HELD
from rowstream.runtime.service import Running
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectChanged, ObjectMissing, StoreUnavailable
from splitter.header import FileRejected
from splitter.lease import Lease, LeaseLost, enqueue
from splitter.sender import Stopping, UploadClosed
from splitter.settings import SplitterSlice
from splitter.split import Tools, split

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

    def run(self) -> None:
        """Work until asked to stop; then give the leases back."""
        slots = [threading.Thread(target=self._slot, name=f"slot-{n}") for n in range(self._settings.slots)]
        heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        for thread in (*slots, heart):
            thread.start()
        try:
            while not self._running.stop.is_set() and all(slot.is_alive() for slot in slots):
                self._running.health.beat()
                self._take_in(self._consumer.poll(at_most=100, timeout=0.5))
                self._consumer.measure_lag()
        finally:
            self._running.stop.set()
            self._wake()
            for thread in slots:
                thread.join()
            self._dead_letters.flush(5)
            self._consumer.close()

    def _take_in(self, messages: list[Received]) -> None:
        for message in messages:
            while not self._running.stop.is_set():
                try:
                    self._enqueue(message)
                except (Retryable, exc.OperationalError, exc.TimeoutError) as error:
                    self._running.health.waiting("database", first_line(error))
                    self._consumer.keep_alive(_AWAY_SECONDS)
                else:
                    self._consumer.settle([message])
                    break
        if messages:
            self._running.health.ok("database")
            self._consumer.commit()
            self._wake()

    def _enqueue(self, message: Received) -> None:
        try:
            accepted = codec.decode(message.value, UploadAccepted, self._schemas)
        except Poison as error:
            put_aside(self._dead_letters, message, stage="VALUE_CONVERTER", error=error)
            return
        with self._engine.begin() as connection:
            enqueue(connection, accepted.upload_id)

    def _wake(self) -> None:
        with self._work:
            self._work.notify_all()

    def _slot(self) -> None:
        producer = self._make_producer()
        tools = Tools(self._engine, self._store, producer, self._settings, self._running.stop)
        while not self._running.stop.is_set():
            try:
                lease = Lease.take(self._engine, holder=self._holder, seconds=self._settings.lease_seconds)
                self._running.health.ok("database")
                if lease is None:
                    with self._work:
                        self._work.wait(self._settings.poll_seconds)
                    continue
                self._hold(lease, tools)
            except (exc.OperationalError, exc.TimeoutError) as error:
                self._running.health.waiting("database", first_line(error))
                self._running.stop.wait(_AWAY_SECONDS)
        producer.flush(5)

    def _hold(self, lease: Lease, tools: Tools) -> None:
        job = lease.job
        self._leases.add(lease)
        LEASES_HELD.set(len(self._leases))
        with log_context(upload_id=str(job.upload_id), correlation_id=job.correlation_id):
            try:
                log.info("splitting", epoch=job.epoch, size_bytes=job.size_bytes, record_type=job.record_type)
                self._split(lease, tools)
            except LeaseLost:
                log.warning("lease lost: another splitter has the upload")
            except UploadClosed:
                lease.close()
            except Stopping:
                tools.producer.flush(2)
                lease.release()
            except Retryable as error:
                log.warning("cannot go on for now", reason=str(error))
                lease.release()
                self._running.stop.wait(_AWAY_SECONDS)
            finally:
                self._leases.discard(lease)
                LEASES_HELD.set(len(self._leases))

    def _split(self, lease: Lease, tools: Tools) -> None:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailable),
            stop=tenacity.stop_after_attempt(_STORE_TRIES),
            wait=tenacity.wait_exponential_jitter(initial=0.5, max=10),
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
        except (LeaseLost, UploadClosed, Stopping, Retryable, exc.OperationalError, exc.TimeoutError):
            raise
        except Exception as error:
            # Whatever else it is, this upload alone has failed, and a person must look.
            log.exception("splitting failed")
            _fail(lease, "UNK_001", f"splitting failed unexpectedly ({type(error).__name__}); the log says more")

    def _pause(self, seconds: float) -> None:
        self._running.stop.wait(seconds)

    def _beat(self) -> None:
        while not self._running.stop.wait(self._settings.heartbeat_seconds):
            for lease in tuple(self._leases):
                try:
                    lease.beat()
                except LeaseLost:
                    self._leases.discard(lease)
                except (exc.OperationalError, exc.TimeoutError) as error:
                    self._running.health.waiting("database", first_line(error))


def _fail(lease: Lease, code: str, message: str) -> None:
    log.warning("upload failed", code=code, reason=message)
    lease.fail(code, message)
