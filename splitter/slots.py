"""A splitter's slots: each takes a lease, splits under it, and takes the next; one heartbeat keeps all leases alive.

Some slots take small files only, so that these never wait for a large one to end. One idle slot of each kind is woken
by an event, and wakes the next when it has found something.
"""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import polars as pl
import tenacity
from sqlalchemy import Engine, exc

from rowstream.database.connection import first_line, is_away
from rowstream.errors import Fatal, Poison, Retryable
from rowstream.kafka.producer import Producer
from rowstream.runtime.logging import get_logger, log_context, traced
from rowstream.runtime.metrics import LEASES_HELD
from rowstream.runtime.service import Running
from rowstream.runtime.steps import Step, reached
from rowstream.storage.probe import was_refused
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectChanged, ObjectMissing, RequestRefused, StoreUnavailable
from splitter.breaker import StoreBreaker
from splitter.budget import Budget, Share
from splitter.content import Digests
from splitter.header import FileRejected
from splitter.lease import Lease, LeaseLost
from splitter.sender import Stopping, Unwanted, UploadClosed
from splitter.settings import SplitterSlice
from splitter.split import Tools, split
from splitter.twins import SameFile

log = get_logger(__name__)

_STORE_TRIES = 5
_AWAY_SECONDS = 1.0


class Slots:
    """The threads that split."""

    def __init__(
        self,
        *,
        running: Running,
        engine: Engine,
        store: S3Store,
        make_producer: Callable[[], Producer],
        settings: SplitterSlice,
    ) -> None:
        self._running, self._engine, self._store = running, engine, store
        self._make_producer, self._settings = make_producer, settings
        self._digests = Digests(store, running.stop)
        self._breaker = StoreBreaker(store, running.health, on_answer=self._wake_all)
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        self._any, self._small = threading.Condition(), threading.Condition()
        self._budget = Budget(max_chunks=settings.window_chunks, max_bytes=settings.buffer_bytes)
        self._leases: dict[Lease, threading.Condition] = {}  # with the kind of the slot
        kinds = [(self._any, None)] * settings.slots + [(self._small, settings.small_bytes)] * settings.small_slots
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._fill, *kind), name=f"slot-{number}")
            for number, kind in enumerate(kinds)
        ]
        self._helpers = [  # nobody waits for them to end
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._guarded, args=(self._breaker.watch, running.stop), name="probe", daemon=True),
        ]
        self.fault: BaseException | None = None

    def start(self) -> None:
        """Begin to take uploads."""
        for thread in (*self._threads, *self._helpers):
            thread.start()

    def wake(self) -> None:
        """Let an idle slot of each kind look for work now."""
        for condition in (self._small, self._any):
            with condition:
                condition.notify()

    def join(self) -> None:
        """Wait until all have given their leases back; they do so once the service is asked to stop."""
        self._wake_all()
        for thread in self._threads:
            thread.join()

    def _wake_all(self) -> None:
        for condition in (self._small, self._any):
            with condition:
                condition.notify_all()

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - kept, and raised by the service
            log.critical("a slot failed, the service ends", **traced(error))
            self.fault = error
            self._running.stop.set()

    def _fill(self, idle: threading.Condition, at_most_bytes: int | None) -> None:
        tools: Tools | None = None
        while not self._running.stop.is_set():
            try:
                lease = Lease.take(
                    self._engine,
                    holder=self._holder,
                    seconds=self._settings.lease_seconds,
                    at_most_bytes=at_most_bytes,
                    not_in=self._breaker.away,
                )
                self._running.health.ok("database")
                if lease is not None:
                    reached(Step.LEASE_TAKEN)
                    self.wake()
                    tools = tools or self._tools()
                    self._hold(lease, tools, idle)
                    continue
            except exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                self._running.health.waiting("database", first_line(error))
                self._running.stop.wait(_AWAY_SECONDS)
                continue
            with idle:
                if not self._running.stop.is_set():
                    idle.wait(self._settings.poll_seconds)
        if tools:
            tools.producer.flush(5)

    def _tools(self) -> Tools:
        return Tools(
            self._engine,
            self._store,
            self._digests,
            self._make_producer(),
            self._settings,
            self._running.stop,
            self._crowded,
        )

    def _crowded(self) -> bool:
        return sum(kind is self._any for kind in tuple(self._leases.values())) >= self._settings.slots

    def _hold(self, lease: Lease, tools: Tools, kind: threading.Condition) -> None:
        job = lease.job
        self._leases[lease] = kind
        LEASES_HELD.set(len(self._leases))
        with log_context(upload_id=str(job.upload_id), correlation_id=job.correlation_id):
            try:
                log.info("splitting", epoch=job.epoch, size_bytes=job.size_bytes, record_type=job.record_type)
                self._work_on(lease, tools)
            except LeaseLost:
                log.warning("lease lost: another splitter has the upload, or it was closed")
            finally:
                self._leases.pop(lease, None)
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
            with self._budget.share() as share:
                retrying(self._try, lease, tools, share)
        except SameFile as error:
            _fail(lease, error.code, error.message, duplicate_of=error.twin)
        except FileRejected as error:
            _fail(lease, error.code, error.message)
        except StoreUnavailable as error:
            _fail(lease, "S3_001", f"{error}; tried {_STORE_TRIES} times. {_way_out(error)}, then retry the upload")
        except (ObjectMissing, RequestRefused) as error:
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

    def _try(self, lease: Lease, tools: Tools, share: Share) -> None:
        """Split, and tell an object that cannot be read from a store that is away.

        Raises:
            StoreUnavailable: the store is there, and this was one try.
            StoreAway: it is not, and this was none.
            Exception: what `split` raises.
        """
        try:
            split(lease, tools, share)
        except StoreUnavailable as error:
            if not was_refused(error):
                self._breaker.check(lease.job.bucket)
            raise

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
                    self._running.health.ok("database")
                except LeaseLost:
                    self._leases.pop(lease, None)
                except exc.SQLAlchemyError as error:
                    self._running.health.waiting("database", first_line(error))


def _way_out(error: StoreUnavailable) -> str:
    if was_refused(error):
        return "See the splitter's credentials and what the bucket allows them"
    return "The store answers for its bucket: see what is wrong with this object"


def _fail(lease: Lease, code: str, message: str, *, duplicate_of: UUID | None = None) -> None:
    log.warning("upload failed", code=code, reason=message)
    lease.fail(code, message, duplicate_of=duplicate_of)
