"""A server of the tests: a child of the test run that can be stopped, killed and started again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rowstream.stack.part import Account
from rowstream.stack.process import guarded

_START_SECONDS = 90.0  # a Java program on a busy machine
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.08


@dataclass(kw_only=True)
class Server:
    """A server process that can be stopped, killed and started again at the same port.

    `ready` says whether it takes requests; `settle` runs after each start, e.g. to make topics again.
    """

    name: str
    command: list[str]
    port: int
    log: Path
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    settle: Callable[[], object] = field(default=lambda: None)
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                guarded(tuple(self.command), self.death_signal, self.account),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        pauses = _pauses()
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(next(pauses))
        self.settle()

    def stop(self) -> None:
        """Ask it to leave, and wait until it has."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End it at once, as a fault would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def running(server: Server) -> Iterator[None]:
    """The server, started now, and gone afterwards however that comes."""
    server.start()
    try:
        yield
    finally:
        server.kill()


_given: set[int] = set()


def free_port() -> int:
    """A port of this machine that nobody listens on, below those that the kernel gives to outgoing connections.

    None is given twice: who asked for it may listen later.
    """
    while True:
        port = 20_000 + int.from_bytes(os.urandom(2)) % 10_000
        if port in _given:
            continue
        with socket.socket() as attempt, suppress(OSError):
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def until(happened: Callable[[], bool], *, seconds: float = 20.0, what: str = "the expected") -> None:
    """Wait until something is so; fails when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    pauses = _pauses()
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    """Seconds between looks, ever longer: a look costs what others on the machine wait for."""
    pause = _SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(_LONGEST_PAUSE, pause * 1.2)
