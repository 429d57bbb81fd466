"""What every service does when it starts and stops: logs, the health server, signals.

SIGTERM and SIGINT set `stop`; a service's loop looks at it between two pieces of work, so a batch in hand is finished,
committed and acknowledged before the process ends.
"""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rowstream.runtime.health import Health
from rowstream.runtime.logging import configure_logging, get_logger
from rowstream.runtime.settings import HttpSettings, ServiceSettings

log = get_logger(__name__)


@dataclass(frozen=True)
class Running:
    """A service that is running: its health, and the event that asks it to stop."""

    health: Health
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running(name: str, settings: ServiceSettings, health: Health) -> Iterator[Running]:
    """Configure logs, answer /healthz, /readyz and /metrics, and turn signals into `stop`, while inside."""
    configure_logging(name, settings.log.level)
    service = Running(health)
    stop_on_signals(service.stop)
    server = _serve_health(settings.http, health)
    log.info("started", port=server.server_address[1])
    try:
        yield service
    finally:
        server.shutdown()
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
        return (200 if health.alive else 503), "application/json", json.dumps({"alive": health.alive}).encode()
    if path == "/readyz":
        waiting = health.waiting_for
        body = {"ready": not waiting, "waiting_for": waiting}
        return (503 if waiting else 200), "application/json", json.dumps(body).encode()
    return None


def _serve_health(settings: HttpSettings, health: Health) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = probe(self.path, health)
            if answer is None:
                self.send_error(404)
                return
            status, content_type, body = answer
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and say nothing."""

    server = ThreadingHTTPServer((settings.host, settings.port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
