"""What every service does when it starts and stops: logs, the health server, signals.

SIGTERM and SIGINT set `stop`; a service's loop looks at it between two pieces of work, so a batch in hand is finished,
committed and acknowledged before the process ends.
"""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rowstream.errors import Fatal
from rowstream.runtime.health import Health
from rowstream.runtime.logging import configure_logging, get_logger, traced
from rowstream.runtime.settings import HttpSettings, ServiceSettings

log = get_logger(__name__)


@dataclass(frozen=True)
class Running:
    """A service that is running: its health, and the event that asks it to stop."""

    health: Health
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running(name: str, settings: ServiceSettings, health: Health) -> Iterator[Running]:
    """Configure logs, answer /healthz, /readyz and /metrics, and turn signals into `stop`, while inside.

    Raises:
        Fatal: the port is taken; or what is done inside raised it.
        SystemExit: anything else was raised inside; it is in the log.
    """
    configure_logging(name, settings.log.level)
    service = Running(health)
    stop_on_signals(service.stop)
    server = _serve_health(settings.http, health)
    log.info("started", port=server.server_address[1])
    try:
        yield service
    except Fatal:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost: it is logged without its text, and ends the process
        # Python's own way to tell would show the error's text, which may hold a cell of a record.
        log.critical("ended by an error that nobody foresaw", **traced(error))
        raise SystemExit(1) from None
    finally:
        server.shutdown()
        server.server_close()
        log.info("stopped")


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`; may only be called in the main thread."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def probe(path: str, health: Health) -> tuple[int, str, bytes] | None:
    """Status, content type and body for one of the three paths; None for any other."""
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    if path == "/healthz":
        alive = health.alive
        return (200 if alive else 503), "application/json", json.dumps({"alive": alive}).encode()
    if path == "/readyz":
        waiting = health.waiting_for
        body = {"ready": not waiting, "waiting_for": waiting}
        if without := health.going_without:
            body["degraded"] = without
        return (503 if waiting else 200), "application/json", json.dumps(body).encode()
    return None


def _serve_health(settings: HttpSettings, health: Health) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = probe(self.path.partition("?")[0], health)
            if answer is None:
                self.send_error(404)
                return
            status, content_type, body = answer
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # whoever asked has left
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and say nothing."""

    try:
        server = ThreadingHTTPServer((settings.host, settings.port), Handler)
    except OSError as error:
        raise Fatal(
            f"cannot answer at {settings.host}:{settings.port}: {error.strerror}; set ROWSTREAM_HTTP__HOST and"
            " ROWSTREAM_HTTP__PORT, or stop what answers there"
        ) from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
