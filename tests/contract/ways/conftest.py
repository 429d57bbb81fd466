"""A gateway on each of the object stores: every test of a way in runs with both, unchanged."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from rowstream.storage.s3 import S3Store
from tests import gateways, servers

MAX_CONTENT = 20_000_000


@pytest.fixture(scope="module", params=["localbucket", "versitygw"])
def object_store(request: pytest.FixtureRequest) -> servers.Server:
    server: servers.Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def store(object_store: servers.Server) -> S3Store:
    return servers.store_of(object_store)


@pytest.fixture(scope="module")
def address(url: str, object_store: servers.Server) -> Iterator[str]:
    settings = gateways.gateway_settings(
        url,
        servers.storage_settings(object_store),
        intake_buckets=f"{servers.BUCKET}, landing",
        max_upload_bytes=60_000_000,
    )
    settings.sending.content_max_bytes = MAX_CONTENT
    settings.sending.content_at_once = 2
    with gateways.serving(settings) as address:
        yield address


class Stored:
    """What the database and the store have of uploads."""

    def __init__(self, url: str, store: S3Store) -> None:
        self._url, self._store = url, store

    def place(self, upload_id: str) -> tuple[str, str]:
        """Bucket and key."""
        with psycopg.connect(self._url) as connection:
            query = "SELECT s3_bucket, s3_key FROM batch_uploads WHERE id = %s"
            bucket, key = connection.execute(query, (upload_id,)).fetchone() or ("", "")
        return bucket, key

    def content(self, upload_id: str) -> bytes:
        """The bytes of the object that an accepted upload has."""
        bucket, key = self.place(upload_id)
        return self._store.peek(bucket, key, 10**9)[1]

    def left(self, upload_id: str) -> list[str]:
        """All that the store has of an upload: objects, and parts of those that were not put together."""
        bucket, key = self.place(upload_id)
        soon = datetime.now(UTC) + timedelta(days=1)
        begun = (one.key for one in self._store.parts.left_over(bucket, key, before=soon))
        return [*self._store.keys_under(bucket, key), *begun]

    def waiting(self) -> list[str]:
        """The uploads that wait for their files, the newest first."""
        with psycopg.connect(self._url) as connection:
            query = "SELECT id::text FROM batch_uploads WHERE status = 'awaiting_upload' ORDER BY created_at DESC"
            return [id_ for (id_,) in connection.execute(query)]


@pytest.fixture
def stored(url: str, store: S3Store) -> Stored:
    return Stored(url, store)
