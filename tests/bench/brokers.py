"""The brokers that the pipeline is measured on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil

from tests import servers


@dataclass(frozen=True)
class Broker:
    """A broker to measure on.

    Attributes:
        settings: What `rowstream up` is told of it, as variables of its environment.
        besides: Its process by name, where it is no child of `up`.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    besides: Mapping[str, psutil.Process] = field(default_factory=dict)


@contextmanager
def _embedded(_: Path) -> Iterator[Broker]:
    yield Broker()


@contextmanager
def _apache_kafka(folder: Path) -> Iterator[Broker]:
    with servers.kafka_server(folder / "apache-kafka") as kafka:
        assert kafka.process
        yield Broker({"ROWSTREAM_UP_BROKER": kafka.address}, {"apache kafka": psutil.Process(kafka.process.pid)})


BROKERS: Mapping[str, Callable[[Path], AbstractContextManager[Broker]]] = MappingProxyType(
    {"embedded": _embedded, "apache-kafka": _apache_kafka}
)
"""How each is started in a folder of its own."""
