"""Keeps the embedded broker's memory bounded: it keeps its log in memory and frees it only when a topic is deleted.

Above a threshold the splitters are asked to send nothing new, what was sent is worked, the record processors are
stopped (the broker does not survive that a topic is deleted while somebody reads it), the topic of chunks is deleted
and made again, and all go on. Whoever dies at any point of this leaves a system that goes on: the request to the
splitters ends by itself, a part is started again with its topics, and chunks that were lost are sent again.
"""

import asyncio
import contextlib
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import sqlalchemy.exc
from sqlalchemy import Engine

from rowstream.database.connection import make_engine
from rowstream.database.hold import hold, release
from rowstream.errors import Retryable, RowstreamError
from rowstream.kafka.deletion import delete_group, delete_topic
from rowstream.kafka.topics import CHUNKS
from rowstream.stack.probes import get
from rowstream.stack.runner import Recycled
from rowstream.stack.services import PROCESSOR_GROUP
from rowstream.stack.supervisor import Supervisor

HOLD = "recycling of the embedded broker's topic"
IN_FLIGHT = b"rowstream_splitter_chunks_in_flight "
_LOOK_SECONDS = 1.0
_HOLD_SECONDS = 15.0
_DRAIN_SECONDS = 60.0
_QUIET_SECONDS = 1.0  # a splitter may send for 0.2 s after it was asked not to
_DRAIN_LOOK_SECONDS = 0.2
_READY_SECONDS = 60.0
_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What recycling has to do with.

    Attributes:
        broker: The broker's part.
        processors: The parts that read the topic of chunks.
        splitter_ports: Where the splitters answer /metrics.
        bootstrap_servers: The broker's address.
        database: postgresql:// address of who may write everything.
        make_topics: Makes the topics that are missing, with the partition counts that they had.
        limit_bytes: The broker's resident memory above which its topic is recycled.
    """

    broker: str
    processors: Sequence[str]
    splitter_ports: Sequence[int]
    bootstrap_servers: str
    database: str
    make_topics: Callable[[], None]
    limit_bytes: int


def is_due(resident: int, after_last: int, limit: int) -> bool:
    """Whether to recycle now, by bytes of resident memory; pure.

    What recycling did not free the last time it will not free now, so memory must have grown by a good part of the
    limit since.
    """
    return resident >= limit and resident - after_last >= limit // 2


def is_quiet(metrics: bytes) -> bool:
    """Whether a splitter's /metrics says that all it sent is in the ledger."""
    values = [line[len(IN_FLIGHT) :] for line in metrics.splitlines() if line.startswith(IN_FLIGHT)]
    return bool(values) and float(values[0]) == 0


class Recycler:
    """Watches the broker of a running system; `run` is a task of its own, to be cancelled."""

    def __init__(self, embedded: Embedded, supervisor: Supervisor) -> None:
        self._embedded, self._supervisor = embedded, supervisor
        self._after_last = 0

    async def run(self) -> None:
        """Recycle whenever it is due; what fails is told, and tried again later."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not is_due(self._resident(), self._after_last, self._embedded.limit_bytes):
                continue
            try:
                await self._recycle()
            except (RowstreamError, sqlalchemy.exc.SQLAlchemyError, OSError, TimeoutError) as error:
                self._tell(0.0, 0, str(error).partition("\n")[0])
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _recycle(self) -> None:
        embedded, began, before = self._embedded, time.monotonic(), self._resident()
        with _engine(embedded.database) as engine:
            await asyncio.to_thread(hold, engine, HOLD, seconds=_HOLD_SECONDS)
            holding = asyncio.create_task(_keep_holding(engine))
            try:
                await self._drained()
                await self._make_anew()
            finally:
                holding.cancel()
                with contextlib.suppress(asyncio.CancelledError, sqlalchemy.exc.SQLAlchemyError):
                    await holding
                with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # it ends by itself
                    await asyncio.to_thread(release, engine, HOLD)
        self._tell(time.monotonic() - began, before, None)

    async def _make_anew(self) -> None:
        embedded, supervisor = self._embedded, self._supervisor
        try:
            async with supervisor.without(embedded.processors, seconds=_READY_SECONDS):
                await asyncio.to_thread(delete_topic, embedded.bootstrap_servers, CHUNKS)
                await asyncio.to_thread(delete_group, embedded.bootstrap_servers, PROCESSOR_GROUP)
                await asyncio.to_thread(embedded.make_topics)
                self._after_last = self._resident()
        except (Retryable, TimeoutError):
            # It hangs (somebody else was reading the topic), or lets the processors not in again. A new one has lost
            # its whole log, which all outlive.
            await supervisor.start_anew(embedded.broker, seconds=_READY_SECONDS)
            self._after_last = self._resident()

    async def _drained(self) -> None:
        """Return when nothing is on its way any more; or after some time, since what is lost is sent again."""
        quiet_since = began = time.monotonic()
        while time.monotonic() < min(quiet_since + _QUIET_SECONDS, began + _DRAIN_SECONDS):
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)
            if not await asyncio.to_thread(self._is_quiet):
                quiet_since = time.monotonic()

    def _is_quiet(self) -> bool:
        try:
            return all(is_quiet(get(port, "/metrics")[1]) for port in self._embedded.splitter_ports)
        except (OSError, http.client.HTTPException):
            return False  # it is being started again

    def _tell(self, seconds: float, before: int, failure: str | None) -> None:
        limit = self._embedded.limit_bytes
        self._supervisor.tell(Recycled(self._embedded.broker, seconds, before, self._after_last, limit, failure))

    def _resident(self) -> int:
        pid = self._supervisor.pid(self._embedded.broker)
        try:
            return int(psutil.Process(pid).memory_info().rss) if pid else 0
        except psutil.Error:
            return 0


async def _keep_holding(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_HOLD_SECONDS / 5)
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # it is asked for again in a moment
            await asyncio.to_thread(hold, engine, HOLD, seconds=_HOLD_SECONDS)


@contextmanager
def _engine(database: str) -> Iterator[Engine]:
    engine = make_engine(database, service="up", pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()
