"""Builds the record processor's adapters and hands them to the service."""

from rowstream.runtime import imports

# isort: split
import os
import socket
import sys

from record_processor import upkeep
from record_processor.announce import Announcer
from record_processor.doubt import Doubt
from record_processor.process import Processor
from record_processor.service import GROUP, ProcessorService
from record_processor.settings import ProcessorSettings
from record_processor.undo import Undoer
from record_processor.zombies import SERVICE, Patience
from rowstream.database.connection import IDLE_SECONDS, PROCESSOR_ROLE, make_engine
from rowstream.database.readiness import until_ready
from rowstream.errors import Fatal
from rowstream.kafka.consumer import NO_PART, Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import CHUNKS
from rowstream.records import registry
from rowstream.runtime.health import Health
from rowstream.runtime.service import running


def main() -> None:
    """Run one record processor until SIGTERM."""
    imports.done()
    try:
        registry.record_types()  # a broken plug-in stops the start, not the first chunk
        _run(ProcessorSettings.load())
    except Fatal as error:
        sys.exit(f"record_processor: {error}")


def _run(settings: ProcessorSettings) -> None:
    health = Health("database", "broker")
    with running("record_processor", settings, health) as service:
        url = settings.database.url.get_secret_value()
        size = settings.database.pool_size
        engine = make_engine(url, role=PROCESSOR_ROLE, service=SERVICE, pool_size=size, idle_seconds=IDLE_SECONDS)
        patience = Patience(make_engine(url, service="patience", pool_size=1), settings.processor.lock_patience_seconds)
        schemas = until_ready(engine, health, service.stop)
        if schemas is None:
            return
        slice_, worker = settings.processor, f"{socket.gethostname()}/{os.getpid()}"
        doubt = Doubt(engine, worker, messages=slice_.batch_chunks)
        consumer = Consumer(
            settings.kafka,
            group=GROUP,
            topics=[CHUNKS],
            on_assigned=lambda: health.ok("broker"),
            on_revoked=doubt.leave,
            on_left=lambda: health.waiting("broker", NO_PART),
        )
        aside = make_engine(url, role=PROCESSOR_ROLE, service=SERVICE, pool_size=1, idle_seconds=IDLE_SECONDS)
        tasks: list[upkeep.Task] = [Undoer(aside, health).some]
        if registry.announced():
            sweeper = Announcer(aside, Producer(settings.kafka))
            tasks.append(lambda: sweeper.sweep(after_seconds=slice_.announce_sweep_seconds))
        producer = Producer(settings.kafka, linger_ms=0)
        loop = ProcessorService(
            running=service,
            processor=Processor(engine, patience=patience, worker=worker, tries=slice_.chunk_tries),
            consumer=consumer,
            producer=producer,
            announcer=Announcer(engine, producer),
            doubt=doubt,
            schemas=schemas,
            settings=slice_,
        )
        with upkeep.in_background(service.stop, *tasks):
            loop.run()


if __name__ == "__main__":
    main()
