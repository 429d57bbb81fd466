"""The auditor: waits for what it needs, then folds and reconciles until asked to stop."""

import asyncio
import threading
from collections.abc import Iterable

from sqlalchemy import Engine

from auditor import measures
from auditor.app import Projection
from auditor.control import Control
from auditor.patience import Patience, Stopping
from auditor.receiver import Receiver, read_chunk_result, read_split_result
from auditor.reconciler import Reconciler
from auditor.settings import AuditorSettings
from rowstream.database.schemas import SchemaTable
from rowstream.database.version import is_migrated
from rowstream.errors import Retryable
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import CHUNK_RESULTS, SPLIT_RESULTS, topic_partitions
from rowstream.runtime.logging import get_logger
from rowstream.runtime.service import Running
from rowstream.runtime.settings import KafkaSettings

log = get_logger(__name__)

READERS = {CHUNK_RESULTS: read_chunk_result, SPLIT_RESULTS: read_split_result}


def run(running: Running, settings: AuditorSettings, engine: Engine) -> None:
    """Do the auditor's work until asked to stop: finish the batch in hand, acknowledge it, leave."""
    patience = Patience(running.health, running.stop)
    schemas = SchemaTable(engine)
    try:
        patience.until_done("database", lambda: _need_migration(engine))
        patience.until_done("database", schemas.register)
        patience.until_done("broker", lambda: _need_topics(settings.kafka, READERS))
    except Stopping:
        return
    running.health.waiting("broker", "waiting for partitions")
    receiver = Receiver(
        engine=engine,
        schemas=schemas,
        make_producer=lambda: Producer(settings.kafka),
        patience=patience,
        unknown_schema_seconds=settings.auditor.unknown_schema_seconds,
    )
    measures.begin()
    reconciler = Reconciler(engine, settings.auditor, running.health)
    control = Control(engine, running.health)
    threads = [
        threading.Thread(target=part.run, args=(running.stop,), name=type(part).__name__.lower())
        for part in (reconciler, control)
    ]
    for thread in threads:
        thread.start()
    try:
        asyncio.run(_project(running, settings, receiver))
    finally:
        running.stop.set()
        for thread in threads:
            thread.join()


async def _project(running: Running, settings: AuditorSettings, receiver: Receiver) -> None:
    projection = Projection(
        settings.kafka,
        receiver,
        running.health,
        readers=READERS,
        batch_results=settings.auditor.batch_results,
        linger_seconds=settings.auditor.linger_seconds,
    )
    await projection.run(running.stop)


def _need_migration(engine: Engine) -> None:
    with engine.connect() as connection:
        if not is_migrated(connection):
            raise Retryable("its tables are not those of this version; run `rowstream migrate`")


def _need_topics(kafka: KafkaSettings, topics: Iterable[str]) -> None:
    missing = set(topics) - topic_partitions(kafka).keys()
    if missing:
        raise Retryable(f"it has no topic {min(missing)}; `rowstream topics --make` makes it")
