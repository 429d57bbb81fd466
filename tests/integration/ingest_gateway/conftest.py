"""What several tests of the gateway's rooms stand on; a test that needs another one makes its own of the same name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_gateway.gateway import Gateway
from tests import gateways, servers
from tests.partners import Partner


@pytest.fixture
def gateway(database_url: str, object_store: servers.Server) -> Iterator[Gateway]:
    """The adapters of a gateway on a database of this test's own; nothing of it runs."""
    settings = gateways.gateway_settings(database_url, servers.storage_settings(object_store))
    with gateways.opened(settings) as gateway:
        yield gateway


@pytest.fixture
def partner(sshd: servers.Sshd, tmp_path: Path) -> Partner:
    """A partner with an empty folder on a real SFTP server."""
    folder = tmp_path / "partner"
    folder.mkdir()
    return Partner(server=sshd, folder=folder)
