"""Redis, which keeps counters in memory that several processes share; nothing is written to disk."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.server import Server, free_port, running
from tests.servers.tools import program


class Redis(Server):
    """A Redis without a password, with nothing in it after each start."""

    @property
    def url(self) -> str:
        """Its address as clients want it."""
        return f"redis://{self.address}/0"

    def ask(self, command: str) -> str:
        """The first line of the answer to a command such as `INCR counter`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line, line.makefile("rw") as stream:
            stream.write(f"{command}\r\n")
            stream.flush()
            return stream.readline().rstrip()


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """A Redis of this machine's own package."""
    port = free_port()
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    server = Redis(
        name="Redis",
        command=[
            program("redis-server", "Redis (Debian's package redis-server)"),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ],
        port=port,
        log=folder / "redis.log",
        environment={"PATH": os.defpath},
        ready=lambda: _answers(server),
    )
    with running(server):
        yield server


def _answers(server: Redis) -> bool:
    try:
        return server.ask("PING") == "+PONG"
    except OSError:
        return False
