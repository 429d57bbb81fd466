"""Builds the splitter's adapters and hands them to the service."""

from rowstream.runtime import imports

# isort: split
import sys

from rowstream.database.connection import SPLITTER_ROLE, make_engine
from rowstream.database.readiness import until_ready
from rowstream.errors import Fatal
from rowstream.kafka.consumer import NO_PART, Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import UPLOADS
from rowstream.runtime.health import Health
from rowstream.runtime.service import running
from rowstream.storage.s3 import S3Store
from splitter.plan import check_sizes
from splitter.service import GROUP, SplitterService
from splitter.settings import SplitterSettings


def main() -> None:
    """Run one splitter until SIGTERM."""
    imports.done()
    try:
        _run(SplitterSettings.load())
    except Fatal as error:
        sys.exit(f"splitter: {error}")


def _run(settings: SplitterSettings) -> None:
    check_sizes(settings)  # wrong sizes stop the start, not the first upload
    health = Health("database", "broker")
    with running("splitter", settings, health) as service:
        engine = make_engine(
            settings.database.url.get_secret_value(),
            role=SPLITTER_ROLE,
            service="splitter",
            pool_size=max(settings.database.pool_size, (settings.splitter.slots + settings.splitter.small_slots) // 2),
            idle_seconds=settings.splitter.lease_seconds,
        )
        schemas = until_ready(engine, health, service.stop)
        if schemas is None:
            return
        consumer = Consumer(
            settings.kafka,
            group=GROUP,
            topics=[UPLOADS],
            on_assigned=lambda: health.ok("broker"),
            on_left=lambda: health.waiting("broker", NO_PART),
        )
        SplitterService(
            running=service,
            engine=engine,
            store=S3Store(settings.storage),
            consumer=consumer,
            make_producer=lambda: Producer(settings.kafka),
            schemas=schemas,
            settings=settings.splitter,
        ).run()


if __name__ == "__main__":
    main()
