"""The services of the fault suite as processes, each started again when it ends, as any supervisor would."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rowstream.stack.process import guarded
from tests import probes

_AGAIN_SECONDS = 0.3
_WATCH_SECONDS = 0.05


@dataclass
class Service:
    """One process of a service; `module` is what runs, `name` tells it from others of its kind."""

    name: str
    module: str
    folder: Path
    environment: dict[str, str]
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    starts: int = 0
    ended_at: float = 0.0

    def start(self) -> None:
        """Start it; from now on it is started again whenever it ends."""
        victim = (sys.executable, "-m", "tests.fault.victim", self.module)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                guarded(victim, signal.SIGKILL, None),
                env={**self.environment, **self.extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wanted = True
        self.starts += 1

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process, or the one that it was last."""
        return self.process.pid if self.process else 0

    @property
    def is_running(self) -> bool:
        """Whether its process is there, be it stopped."""
        return self.process is not None and self.process.poll() is None

    def readiness(self) -> tuple[int, list[str]]:
        """Status of /readyz, and what is waited for; 0 while nobody answers."""
        return probes.readiness(self.port)

    def memory_mb(self) -> float:
        """Its resident memory now; 0 while it is not running."""
        try:
            return float(psutil.Process(self.pid).memory_info().rss) / 2**20 if self.is_running else 0.0
        except psutil.NoSuchProcess:
            return 0.0

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is running."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> None:
        """Have it end and not started again; killed when it takes too long."""
        self.wanted = False
        if self.process is None:
            return
        self.send(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Starts services again when they end; a thread of its own, because the kernel ends them with their starter."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, service: Service) -> None:
        """Have it started and kept running."""
        service.wanted = True

    def end(self, service: Service, number: signal.Signals = signal.SIGTERM) -> None:
        """Have it ended, and not started again."""
        with self._lock:
            service.wanted = False
        service.end(number)

    def close(self) -> None:
        """End everything."""
        self._stop.set()
        self._thread.join(10)
        for service in self._services.values():
            service.end(signal.SIGKILL)

    def _run(self) -> None:
        while not self._stop.wait(_WATCH_SECONDS):
            for service in tuple(self._services.values()):
                with self._lock:
                    self._look_at(service)

    def _look_at(self, service: Service) -> None:
        if not service.wanted or service.is_running:
            service.ended_at = 0.0
            return
        now = time.monotonic()
        if service.process is not None and not service.ended_at:
            service.ended_at = now
        if now - service.ended_at >= _AGAIN_SECONDS:
            service.ended_at = 0.0
            service.start()
