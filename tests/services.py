"""Splitters and record processors at work: in threads of the test, or as processes that can be killed and frozen."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import confluent_kafka

from record_processor.announce import Announcer
from record_processor.doubt import Doubt
from record_processor.process import Processor
from record_processor.service import GROUP as PROCESSORS
from record_processor.service import ProcessorService
from record_processor.settings import ProcessorSlice
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import PROCESSOR_ROLE, SPLITTER_ROLE
from rowstream.database.readiness import until_ready
from rowstream.kafka.consumer import LEFT_BEHIND, Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNKS, UPLOADS
from rowstream.messages.envelope import headers_as_text
from rowstream.runtime.health import Health
from rowstream.runtime.service import Running
from rowstream.runtime.settings import KafkaSettings, StorageSettings
from rowstream.storage.s3 import S3Store
from splitter.service import GROUP as SPLITTERS
from splitter.service import SplitterService
from splitter.settings import SplitterSlice
from tests import probes
from tests.engines import engine_of
from tests.servers import free_port, until
from tests.uploads import accepted_event

_JOIN_SECONDS = 30.0
_FETCH_WAIT_MS = 100
_QUIET_LOOKS = 4


def quick_kafka(broker: str) -> KafkaSettings:
    """Groups form and faults are noticed in seconds, and the embedded broker, which holds answers back, is quick."""
    return KafkaSettings(
        bootstrap_servers=broker, session_timeout_ms=2_000, delivery_timeout_ms=2_000, fetch_wait_ms=_FETCH_WAIT_MS
    )


@contextmanager
def splitting(database: str, broker: str, store: S3Store, *, ready: bool = True, **facts: Any) -> Iterator[Running]:
    """A splitter in threads of this process; `facts` are its slice of the settings."""
    settings = SplitterSlice(**{"lease_seconds": 3.0, "heartbeat_seconds": 0.3, "poll_seconds": 0.2, **facts})
    with engine_of(database, role=SPLITTER_ROLE, service="splitter", idle_seconds=settings.lease_seconds) as engine:
        running = Running(Health("broker", "database"))
        schemas = until_ready(engine, running.health, running.stop)
        assert schemas
        consumer = Consumer(
            quick_kafka(broker), group=SPLITTERS, topics=[UPLOADS], on_assigned=lambda: running.health.ok("broker")
        )
        service = SplitterService(
            running=running,
            engine=engine,
            store=store,
            consumer=consumer,
            make_producer=lambda: Producer(quick_kafka(broker)),
            schemas=schemas,
            settings=settings,
        )
        with _in_a_thread(service, running, ready=ready):
            yield running


@contextmanager
def processing(database: str, broker: str, *, ready: bool = True, **facts: Any) -> Iterator[Running]:
    """A record processor in a thread of this process; `facts` are its slice of the settings."""
    settings = ProcessorSlice(**{"lock_patience_seconds": 2.0, **facts})
    with (
        engine_of(database, role=PROCESSOR_ROLE, service=SERVICE) as engine,
        engine_of(database, service="patience", pool_size=1) as patient,
    ):
        running = Running(Health("broker", "database"))
        schemas = until_ready(engine, running.health, running.stop)
        assert schemas
        doubt = Doubt(engine, "thread", messages=settings.batch_chunks)
        consumer = Consumer(
            quick_kafka(broker),
            group=PROCESSORS,
            topics=[CHUNKS],
            on_assigned=lambda: running.health.ok("broker"),
            on_revoked=doubt.leave,
        )
        patience = Patience(patient, settings.lock_patience_seconds)
        producer = Producer(quick_kafka(broker), linger_ms=0)
        service = ProcessorService(
            running=running,
            processor=Processor(engine, patience=patience, worker="thread", tries=settings.chunk_tries),
            consumer=consumer,
            producer=producer,
            announcer=Announcer(engine, producer),
            doubt=doubt,
            schemas=schemas,
            settings=settings,
        )
        with _in_a_thread(service, running, ready=ready):
            yield running


@contextmanager
def _in_a_thread(service: SplitterService | ProcessorService, running: Running, *, ready: bool) -> Iterator[None]:
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        if ready:
            until(lambda: not running.health.waiting_for, seconds=_JOIN_SECONDS, what="readiness")
        yield
    finally:
        running.stop.set()
        thread.join(_JOIN_SECONDS)
        assert not thread.is_alive(), "the service did not stop"


@dataclass
class Process:
    """A service as a process; `start` after `kill` or `leave` makes another with the same settings."""

    name: str
    folder: Path
    environment: dict[str, str]
    port: int
    running: subprocess.Popen[bytes] | None = None
    known: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", self.name], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
        self.known.append(self.running)
        if wait:
            until(lambda: self.readiness()[0] == 200, seconds=_JOIN_SECONDS, what=f"readiness of {self.name}")

    def readiness(self) -> tuple[int, list[str]]:
        """Status of /readyz, and what is waited for; 0 while nobody answers."""
        return probes.readiness(self.port)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.running
        self.running.send_signal(number)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return probes.metric(self.port, name)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        assert self.running
        self.running.wait()

    def leave(self) -> int:
        """Ask it to leave; its exit code."""
        self.signal(signal.SIGTERM)
        assert self.running
        return self.running.wait(timeout=_JOIN_SECONDS)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log, each of which must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def process_of(
    name: str,
    folder: Path,
    *,
    database: str,
    broker: str,
    storage: StorageSettings,
    start: bool = True,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Process]:
    """A service in a folder of its own; `facts` are settings, such as SPLITTER__SLOTS."""
    port = free_port()
    home = folder / name / str(port)
    home.mkdir(parents=True)
    secret = storage.secret_access_key
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": broker,
        "KAFKA__SESSION_TIMEOUT_MS": "2000",
        "KAFKA__DELIVERY_TIMEOUT_MS": "2000",
        "KAFKA__FETCH_WAIT_MS": str(_FETCH_WAIT_MS),
        "DATABASE__URL": database,
        "STORAGE__ENDPOINT_URL": storage.endpoint_url or "",
        "STORAGE__ACCESS_KEY_ID": storage.access_key_id or "",
        "STORAGE__SECRET_ACCESS_KEY": secret.get_secret_value() if secret else "",
        "HTTP__PORT": str(port),
        **facts,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROWSTREAM_")}
    environment = inherited | {f"ROWSTREAM_{name}": value for name, value in settings.items()}
    service = Process(name, home, environment | {"PYTHONPATH": str(Path.cwd())}, port)
    try:
        if start:
            service.start()
        yield service
    finally:
        for one in service.known:
            with suppress(ProcessLookupError):
                one.kill()
            one.wait()


@contextmanager
def kept_going(*services: Process) -> Iterator[None]:
    """Start services again, as a supervisor does, when they end since a broker without its log left them behind.

    In a thread of the test run there is no such end: it would be that of the whole run.
    """
    stop = threading.Event()
    reasons: list[str | list[str]] = []

    def look() -> None:
        while not stop.wait(0.1):
            for service in services:
                if service.running and service.running.poll() is not None:
                    said = [line["event"] for line in service.log_lines()[-10:]]
                    reasons.append(LEFT_BEHIND if LEFT_BEHIND in said else said)
                    service.start(wait=False)

    thread = threading.Thread(target=look, name="supervisor")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert [reason for reason in reasons if reason != LEFT_BEHIND] == [], "a service ended for another reason"


def announce(broker: str, *events: bytes | Any) -> None:
    """Publish what wakes a splitter: events as they are, or the ids of uploads."""
    producer = Producer(quick_kafka(broker), linger_ms=0)
    failures: list[str | None] = []
    for event in events:
        value = event if isinstance(event, bytes) else accepted_event(event)
        producer.send(UPLOADS, value, key=b"key", on_delivery=failures.append)
    assert producer.flush(10) == 0
    assert failures == [None] * len(events)


def publish(broker: str, *messages: Received) -> None:
    """Publish messages where they say that they stood, but for the offset."""
    producer = Producer(quick_kafka(broker), linger_ms=0)
    for message in messages:
        producer.send(
            message.topic, message.value, key=message.key, headers=message.headers, partition=message.partition
        )
    assert producer.flush(10) == 0


def everything_in(broker: str, topic: str) -> list[Received]:
    """All messages that a topic has now; those of a partition in their order."""
    reader = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": "none", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    )
    try:
        partitions = reader.list_topics(topic, 10).topics[topic].partitions
        reader.assign([confluent_kafka.TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Received] = []
        quiet = 0
        while quiet < _QUIET_LOOKS:  # the embedded broker's word on where a partition ends is not to be trusted
            messages = [message for message in reader.consume(500, 0.1) if message.error() is None]
            found += [_plain(message) for message in messages]
            quiet = 0 if messages else quiet + 1
        return found
    finally:
        reader.close()


def _plain(message: confluent_kafka.Message) -> Received:
    headers = headers_as_text(cast("list[tuple[str, bytes | None]]", message.headers() or []))
    place = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    return Received(*place, message.key(), message.value() or b"", headers)
