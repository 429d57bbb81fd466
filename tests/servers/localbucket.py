"""localbucket, the embedded object store."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.server import Server, free_port, listens, running

BUCKET = "rowstream"
_SERVER = "rowstream.stack.bucket_server"  # localbucket, as `rowstream up` runs it


@contextmanager
def object_store_server(folder: Path) -> Iterator[Server]:
    """The embedded stack's S3 server, with the bucket `rowstream` in it."""
    port = free_port()
    objects = folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    server = Server(
        name="object store",
        command=[sys.executable, "-m", _SERVER, "--host", "127.0.0.1", "--port", str(port), str(objects)],
        port=port,
        log=folder / "object_store.log",
        environment={"PATH": os.defpath},
        ready=lambda: listens(port),
    )
    with running(server):
        yield server
