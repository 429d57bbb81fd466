"""The Faust application: reads two topics, hands batches to the receiver, acknowledges what is committed.

Faust is used as a projection only, and only in the way that was seen not to lose anything (see the decision record on
Faust): `noack_take`, acknowledgement after COMMIT, no tables, no leader topic, no topic made, the process ended on any
unexpected error so that nothing is acknowledged by the way out.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver

from auditor.credentials import broker_credentials
from auditor.patience import Stopping
from auditor.receiver import Read, Receiver
from rowstream.kafka.received import Received
from rowstream.messages.envelope import headers_as_text
from rowstream.runtime.health import Health
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import CONSUMER_LAG, MESSAGES_CONSUMED
from rowstream.runtime.settings import KafkaSettings
from rowstream.runtime.steps import Step, reached

log = get_logger(__name__)

GROUP = "auditor"
_FAILED = 1
_TURN_SECONDS, _LEAVE_SECONDS = 0.2, 8.0
_DAY_SECONDS = 24 * 3_600.0
_FAUSTS_LOG = logging.getLogger("faust.auditor")  # else Faust logs each of its steps in the name of this module


class _Boot(BootStrategy):
    """Starts no web server, which would open a port of its own, and no producer, as nothing is sent."""

    enable_web = False
    enable_kafka_producer = False


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = _FAUSTS_LOG

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it and says 1,500 ms; a broker may answer only when the wait is over.
        consumer._fetch_max_wait_ms = transport.app.fetch_wait_ms  # noqa: SLF001
        return consumer


class _Consumer(driver.Consumer):
    logger = _FAUSTS_LOG

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


class _NoTables(TableManager):
    async def sleep(self, n: Any) -> None:
        """Faust gives tables a second to be made known before it joins its group; there are none."""


class _App(faust.App):
    BootStrategy = _Boot
    logger = _FAUSTS_LOG
    fetch_wait_ms: int

    async def on_first_start(self) -> None:
        """Faust makes a folder for its tables here; there are none."""

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


class Projection:
    """The running application; `stop` waits for the batch in hand, acknowledges it and leaves the group."""

    def __init__(
        self,
        settings: KafkaSettings,
        receiver: Receiver,
        health: Health,
        *,
        readers: Mapping[str, Read],
        batch_results: int,
        linger_seconds: float,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        """`readers` says of each topic how its messages are read."""
        self._receiver, self._health, self._die = receiver, health, die
        self._batch_results, self._linger_seconds = batch_results, linger_seconds
        self._at_work = asyncio.Lock()  # one batch at a time, of whichever topic
        self._done: dict[tuple[str, int], int] = {}
        self._app = _App(GROUP, **_options(settings))
        self._app.fetch_wait_ms = settings.fetch_wait_ms
        for topic, read in readers.items():
            self._follow(topic, read)
        self._app.on_partitions_assigned.connect(self._assigned)
        self._app.on_partitions_revoked.connect(self._revoked)

    async def run(self, stop: threading.Event) -> None:
        """Read and fold until `stop` is set; ends the process if Faust cannot go on, or not leave."""
        starting = asyncio.ensure_future(self._app.start())
        while not stop.is_set():
            self._health.beat()
            if starting.done():
                starting.result()
                await self._measure_lag()
            if self._app.crash_reason is not None:
                log.error("Faust cannot go on", exc_info=self._app.crash_reason)
                self._die(_FAILED)
            await asyncio.sleep(_TURN_SECONDS)
        async with self._at_work:
            stopping = asyncio.ensure_future(self._app.stop())
            # Not `wait_for`: what Faust waits for inside swallows being cancelled.
            await asyncio.wait([stopping], timeout=_LEAVE_SECONDS)
            if not stopping.done():
                log.warning("left without a word to the broker, which does not answer; some results will come again")
                self._die(0)

    def _follow(self, topic: str, read: Read) -> None:
        raw = self._app.topic(
            topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=True
        )

        async def agent(stream: Any) -> None:
            async for events in stream.noack_take(self._batch_results, within=self._linger_seconds):
                if not await self._take(events, read):
                    await asyncio.Event().wait()  # nothing may be acknowledged any more; the end cancels this
                for event in events:
                    await stream.ack(event)
                reached(Step.RESULTS_ACKNOWLEDGED)

        self._app.agent(raw, name=f"auditor.{topic}", concurrency=1)(agent)

    async def _take(self, events: list[Any], read: Read) -> bool:
        messages = [_received(event.message) for event in events]
        async with self._at_work:
            try:
                await asyncio.to_thread(self._receiver.take, messages, read)
            except Stopping:
                return False
            except Exception:
                log.exception("a batch could not be folded; ending, to begin again with what was not acknowledged")
                self._die(_FAILED)
                raise
        for event in events:
            self._done[event.message.tp] = event.message.offset + 1
            MESSAGES_CONSUMED.labels(event.message.topic).inc()
        return True

    async def _measure_lag(self) -> None:
        consumer = self._app.consumer
        lag: dict[str, int] = {}
        for part in consumer.assignment():
            end = consumer.highwater(part)
            done = self._done.get(part)
            if done is None:
                done = await consumer.position(part)
            if end is not None and done is not None:
                lag[part.topic] = lag.get(part.topic, 0) + max(end - done, 0)
        for topic, messages in lag.items():
            CONSUMER_LAG.labels(topic).set(messages)

    async def _assigned(self, *handed: Any, **_: object) -> None:
        assigned: set[Any] = handed[-1]
        log.info("partitions assigned", partitions=sorted(f"{part.topic}/{part.partition}" for part in assigned))
        self._done.clear()
        self._health.ok("broker")

    async def _revoked(self, *taken: Any, **_: object) -> None:
        if taken[-1]:
            self._health.waiting("broker", "partitions are being handed out anew")


def _options(settings: KafkaSettings) -> dict[str, Any]:
    session = settings.session_timeout_ms / 1000
    return {
        "broker": [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        "broker_credentials": broker_credentials(settings),
        "autodiscover": False,
        "TableManager": _NoTables,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "reply_create_topic": False,
        "stream_wait_empty": False,
        "broker_session_timeout": session,
        "broker_heartbeat_interval": session / 6,
        "broker_rebalance_timeout": max(session, 10.0),
        "broker_request_timeout": max(session, 30.0),
        "broker_commit_interval": 1.0,
        "broker_max_poll_interval": _DAY_SECONDS,  # while the database is away nothing is polled
        "consumer_max_fetch_size": settings.max_message_bytes,
    }


def _received(message: Any) -> Received:
    return Received(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value or b"",
        headers=headers_as_text(message.headers or ()),
    )
