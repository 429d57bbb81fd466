"""Tansu, the embedded broker: its log is in memory and ends with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rowstream.kafka.topics import create_topics
from rowstream.stack.broker import broker_program
from tests.servers.broker import Broker
from tests.servers.server import free_port, listens, running


@dataclass(kw_only=True)
class Tansu(Broker):
    """The embedded broker."""

    keeps_its_log: bool = False

    def lose_log(self) -> None:
        """There is none to lose once it has ended."""
        assert self.process is None, "a running broker cannot lose its log"


@contextmanager
def broker_server(folder: Path) -> Iterator[Tansu]:
    """The embedded broker with all topics; a restart of it is a broker that lost its log."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    server = Tansu(
        name="broker",
        command=[
            broker_program(),
            "broker",
            *("--storage-engine", "memory://tansu/"),
            *("--listener-url", url),
            *("--advertised-listener-url", url),
        ],
        port=port,
        log=folder / "broker.log",
        environment={"PATH": os.defpath, "RUST_LOG": "warn"},
        ready=lambda: listens(port),
        settle=lambda: create_topics(f"127.0.0.1:{port}"),
    )
    with running(server):
        yield server
