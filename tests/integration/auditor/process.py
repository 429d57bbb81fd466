"""A real auditor process, and the messages that it reads and writes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.received import Received
from rowstream.kafka.topics import CHUNK_RESULTS, DEAD_LETTERS, SPLIT_RESULTS
from rowstream.messages import codec
from rowstream.messages.chunk_result import ChunkResult
from rowstream.messages.envelope import Envelope, new_traceparent
from rowstream.messages.upload_failed import UploadFailed
from rowstream.messages.upload_split import UploadSplit
from tests import probes
from tests.servers import free_port, kafka_settings, until


@dataclass
class Auditor:
    """One auditor process; `start` after `kill` or `leave` makes another with the same settings."""

    folder: Path
    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "auditor"], env=self.environment, cwd=self.folder, stderr=log
            )
        if wait:
            until(lambda: self.readiness()[0] == 200, seconds=60, what="readiness of the auditor")

    def readiness(self) -> tuple[int, list[str]]:
        """Status of /readyz, and what is waited for; 0 while nobody answers."""
        return probes.readiness(self.port)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return probes.metric(self.port, name)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def leave(self) -> int:
        """Ask it to leave; its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    @property
    def log(self) -> Path:
        return self.folder / "auditor.log"

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log, each of which must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def auditor_process(folder: Path, *, database: str, broker: str, start: bool = True, **facts: str) -> Iterator[Auditor]:
    """An auditor in a folder of its own; `facts` are settings, such as AUDITOR__GRACE_SECONDS."""
    port = free_port()
    home = folder / "auditor"
    home.mkdir()
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": broker,
        "KAFKA__SESSION_TIMEOUT_MS": "2000",
        "KAFKA__FETCH_WAIT_MS": "100",
        "DATABASE__URL": database,
        "HTTP__PORT": str(port),
        "AUDITOR__RECONCILE_SECONDS": "3600",  # so that a test sees what the messages do
        **facts,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROWSTREAM_")}
    environment = inherited | {f"ROWSTREAM_{name}": value for name, value in settings.items()}
    auditor = Auditor(home, environment | {"PYTHONPATH": str(Path.cwd())}, port)
    try:
        if start:
            auditor.start()
        yield auditor
    finally:
        if auditor.process is not None:
            with suppress(ProcessLookupError):
                auditor.kill()


def say(broker: str, *messages: ChunkResult | UploadSplit | UploadFailed | tuple[str, bytes]) -> None:
    """Send messages as other services would; a pair is a topic and any bytes."""
    producer = Producer(kafka_settings(broker), linger_ms=0)
    failures: list[str] = []
    for message in messages:
        if isinstance(message, tuple):
            topic, value = message
            key, headers = b"key", {"ce_type": "rowstream.nothing"}
        else:
            topic = CHUNK_RESULTS if isinstance(message, ChunkResult) else SPLIT_RESULTS
            value, key, headers = codec.encode(message), str(message.upload_id).encode(), _headers(message)
        producer.send(
            topic,
            value,
            key=key,
            headers=headers,
            on_delivery=lambda error: failures.append(error) if error else None,
        )
    assert producer.flush(10) == 0
    assert failures == []


def dead_letters(broker: str, count: int, *, seconds: float = 20.0) -> list[Received]:
    """The first `count` dead letters."""
    consumer = Consumer(kafka_settings(broker), group=f"tests-{time.monotonic_ns()}", topics=[DEAD_LETTERS])
    found: list[Received] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(at_most=100, timeout=0.5)
    consumer.close()
    return found


def split_message(results: Iterable[ChunkResult]) -> UploadSplit:
    """What the splitter says of a file that was cut into exactly these chunks."""
    chunks = {result.chunk_number: result for result in results}
    one = next(iter(chunks.values()))
    return UploadSplit(
        upload_id=one.upload_id,
        organization_id=one.organization_id,
        attempt=1,
        chunks=len(chunks),
        records=sum(result.records for result in chunks.values()),
    )


def _headers(message: ChunkResult | UploadSplit | UploadFailed) -> dict[str, str]:
    type_ = {ChunkResult: "chunk_result", UploadSplit: "upload_split", UploadFailed: "upload_failed"}[type(message)]
    return Envelope.new(
        type_,
        source="tests",
        organization_id=message.organization_id,
        correlation_id="c",
        traceparent=new_traceparent(),
    ).headers()
