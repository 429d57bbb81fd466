"""Every test of this folder runs on the embedded broker and, unchanged, on Apache Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers

_BROKERS = ["tansu", "apache_kafka"]


@pytest.fixture(scope="session", params=_BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    """The bootstrap servers of a broker with all topics, shared by the session: expect others' messages."""
    server: servers.Broker = request.getfixturevalue(request.param)
    return server.address


@pytest.fixture(params=_BROKERS)
def own_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Broker]:
    """A broker that only this test uses, and may stop, kill, start and rob of its log; its topics are empty."""
    folder = tmp_path / "broker"
    with servers.broker_server(folder) if request.param == "tansu" else servers.kafka_server(folder) as server:
        yield server
