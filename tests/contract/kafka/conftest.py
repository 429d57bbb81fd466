"""Every test of this folder runs on the embedded broker and, unchanged, on Apache Kafka."""

import pytest

from tests import servers


@pytest.fixture(scope="session", params=["tansu", "apache_kafka"])
def broker(request: pytest.FixtureRequest) -> str:
    """The bootstrap servers of a broker with all topics, shared by the session: expect others' messages."""
    server: servers.Broker = request.getfixturevalue(request.param)
    return server.address


@pytest.fixture
def own_broker(either_broker: servers.Broker) -> servers.Broker:
    """A broker that only this test uses, and may stop, kill, start and rob of its log; its topics are empty."""
    return either_broker
