"""Files from a real SFTP server into a real store and database: each finished one once and whole, put aside after."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.storage.s3 import S3Store
from tests import gateways, servers
from tests.partners import Partner, look_once, rows, states, stored, uploads


@pytest.fixture
def gateway(database_url: str, object_store: servers.Server) -> Iterator[Gateway]:
    settings = gateways.gateway_settings(database_url, servers.storage_settings(object_store), max_upload_bytes=10**9)
    with gateways.opened(settings) as gateway:
        yield gateway


@pytest.fixture
def partner(sshd: servers.Sshd, tmp_path: Path) -> Partner:
    folder = tmp_path / "partner"
    folder.mkdir()
    return Partner(server=sshd, folder=folder)


def test_a_file_becomes_an_upload_and_is_moved(
    gateway: Gateway, database_url: str, partner: Partner, store: S3Store
) -> None:
    partner.put("members.csv", b"a,b\n1,2\n")
    assert look_once(gateway, partner.source())
    query = "SELECT organization_id, status, source_type, source, source_event_id, record_type, created_by FROM batch_uploads"
    event = f"1700000000:8:{partner.folder}/members.csv"
    name = f"sftp:{partner.folder.name}"
    assert rows(database_url, query) == [
        (DEFAULT_ORGANIZATION, "pending", "ftp", name, event, "member_certification", name)
    ]
    assert uploads(database_url) == [("members.csv", 8)]
    assert stored(database_url, store) == [b"a,b\n1,2\n"]
    assert partner.names() == []
    assert partner.names("taken") == ["members.csv"]
    assert states(database_url) == {"members.csv": ("taken", None)}
