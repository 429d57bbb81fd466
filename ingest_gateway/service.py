"""Runs the gateway: the web server in the main thread, relay, intake and upkeep in threads beside it.

SIGTERM stops the web server first, with the requests in flight finished, then the threads: what an answered request
has stored is in the database, and whatever is not published yet is published at the next start. A thread that fails
for a reason nobody foresaw ends the whole process, so that its supervisor starts all of it again.
"""

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

from ingest_gateway import upkeep
from ingest_gateway.api.app import make_app
from ingest_gateway.api.server import web_server
from ingest_gateway.arrivals import intake, s3_topic
from ingest_gateway.arrivals.bindings import Bindings
from ingest_gateway.arrivals.intake import Intake
from ingest_gateway.gateway import Gateway, open_gateway
from ingest_gateway.relay import Relay
from ingest_gateway.settings import GatewaySettings
from ingest_gateway.sources import SourcesFile
from rowstream.database.connection import IDLE_SECONDS, RELAY_ROLE, make_engine, retryable_errors
from rowstream.database.schemas import SchemaTable
from rowstream.errors import Fatal, Retryable
from rowstream.kafka.consumer import Consumer
from rowstream.kafka.producer import Producer
from rowstream.kafka.topics import UPLOAD_REQUESTS
from rowstream.runtime.health import Health
from rowstream.runtime.logging import configure_logging, get_logger
from rowstream.runtime.service import stop_on_signals
from rowstream.runtime.settings import HttpSettings, KafkaSettings

log = get_logger(__name__)

NAME = "ingest_gateway"
_LEAVE_SECONDS = 10.0
_LOOK_SECONDS = 0.5


def serve(settings: GatewaySettings) -> bool:
    """Run the gateway until SIGTERM; False if it had to end by itself.

    Raises:
        Fatal: the port is taken, or a setting cannot be used; names it.
    """
    configure_logging(NAME, settings.log.level)
    health = Health(upkeep.DATABASE, upkeep.STORE)
    stop = threading.Event()
    stop_on_signals(stop)
    with ExitStack() as stack:
        listener = stack.enter_context(listen(settings.http))
        gateway = open_gateway(settings, health)
        stack.callback(gateway.close)
        bindings = Bindings.read(settings.gateway.intake_sources)
        app = make_app(gateway)
        stack.callback(app.state.limits.close)
        stack.callback(app.state.entrance.passwords.close)
        sources: SourcesFile = app.state.sources
        server = web_server(gateway, app)

        def leave() -> None:
            server.should_exit = True

        threads = Threads(on_failure=leave)
        threads.start("leave", lambda: _when(stop, leave))  # a signal that comes before the web server listens for it
        threads.start("relay", lambda: _relay(gateway, stop))
        threads.start("intake", lambda: _intake(gateway, bindings, stop))
        if settings.gateway.s3_events_topic:
            threads.start("s3_events", lambda: _s3_events(gateway, sources, stop))
        threads.start("upkeep", lambda: upkeep.run(gateway, stop))
        if settings.gateway.sources_file:
            threads.start("sftp", lambda: _sftp(gateway, sources, stop))
        log.info("started", port=listener.getsockname()[1])
        server.run(sockets=[listener])
        stop.set()
        threads.join(_LEAVE_SECONDS)
    log.info("stopped")
    return not threads.failed


def listen(settings: HttpSettings) -> socket.socket:
    """A socket that listens where the settings say, for connections on which nothing waits to be sent.

    Raises:
        Fatal: somebody else does, or the address is not of this machine.
    """
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=2048, reuse_port=False)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise Fatal(f"{where} is taken by another program; stop it, or set ROWSTREAM_HTTP__PORT") from error
        raise Fatal(f"cannot listen at {where}: {error.strerror}; set ROWSTREAM_HTTP__HOST and _PORT") from error
    # The event loop sets this only for sockets that name their protocol, and those accepted here take it from this one.
    # An answer is two writes: without it, the second waits some 40 ms until the client acknowledges the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Threads:
    """The service's threads; the first that fails calls `on_failure`, and `failed` says so."""

    def __init__(self, *, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._threads: list[threading.Thread] = []
        self.failed = False

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread; it returns soon after `stop`."""

        def guarded() -> None:
            try:
                work()
            except Exception:
                log.exception("thread failed, the service ends", thread=name)
                self.failed = True
                self._on_failure()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> None:
        """Wait until all have returned, up to `seconds` for each."""
        for thread in self._threads:
            thread.join(seconds)


def _when(stop: threading.Event, act: Callable[[], None]) -> None:
    stop.wait()
    act()


def _relay(gateway: Gateway, stop: threading.Event) -> None:
    settings = gateway.settings
    if not _database_came(gateway, stop):
        return
    url = settings.database.url.get_secret_value()
    engine = make_engine(url, role=RELAY_ROLE, service="gateway-relay", pool_size=2, idle_seconds=IDLE_SECONDS)
    relay = Relay(
        engine,
        Producer(settings.kafka),
        batch=settings.gateway.relay_batch,
        keep_seconds=settings.gateway.outbox_keep_seconds,
        delivery_seconds=_reported_after(settings.kafka),
        beat=gateway.health.beat,
    )
    relay.run(stop)
    engine.dispose()


def _intake(gateway: Gateway, bindings: Bindings, stop: threading.Event) -> None:
    kafka = gateway.settings.kafka
    schemas = SchemaTable(gateway.engine)
    if not _database_came(gateway, stop, use=schemas.register):
        return
    consumer = Consumer(kafka, group=intake.GROUP, topics=[UPLOAD_REQUESTS])
    reported = _reported_after(kafka)
    Intake(gateway, consumer, Producer(kafka), schemas, bindings=bindings, delivery_seconds=reported).run(stop)


def _s3_events(gateway: Gateway, sources: SourcesFile, stop: threading.Event) -> None:
    if not _database_came(gateway, stop):
        return
    kafka = gateway.settings.kafka
    consumer = Consumer(kafka, group=s3_topic.GROUP, topics=[gateway.settings.gateway.s3_events_topic])
    reported = _reported_after(kafka)
    s3_topic.reader_of(gateway, sources, consumer, Producer(kafka), delivery_seconds=reported).run(stop)


def _sftp(gateway: Gateway, sources: SourcesFile, stop: threading.Event) -> None:
    from ingest_gateway.arrivals import sftp_run  # noqa: PLC0415 - much to load for those who have no source

    if _database_came(gateway, stop):
        sftp_run.run(gateway, sources, stop)


def _database_came(gateway: Gateway, stop: threading.Event, use: Callable[[], None] = lambda: None) -> bool:
    """Wait for a migrated database and `use` it; False if `stop` came first. Upkeep says what it lacks."""
    while not stop.is_set():
        gateway.health.beat()
        with suppress(Retryable), retryable_errors():
            if upkeep.database_lacks(gateway) is None:
                use()
                return True
        stop.wait(_LOOK_SECONDS)
    return False


def _reported_after(kafka: KafkaSettings) -> float:
    """Seconds after which the fate of every message sent is known."""
    return kafka.delivery_timeout_ms / 1000 + 5
