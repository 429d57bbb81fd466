"""versitygw: a strict S3 server on a folder. It checks signatures, conditions and the policies of presigned POSTs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.localbucket import BUCKET
from tests.servers.server import Server, free_port, listens, running
from tests.servers.tools import VERSITYGW, go_program

ACCESS_KEY = "tests"
SECRET_KEY = "tests-secret"  # noqa: S105 - of a server that lives as long as the tests


@contextmanager
def versitygw_server(folder: Path, *options: str) -> Iterator[Server]:
    """A strict S3 server with the bucket `rowstream`; `options` are of its command, such as for events to Kafka."""
    program = go_program(VERSITYGW, "versitygw")
    port = free_port()
    objects = folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    server = Server(
        name="versitygw",
        command=[str(program), "--port", f"127.0.0.1:{port}", *options, "posix", str(objects)],
        port=port,
        log=folder / "versitygw.log",
        environment={"PATH": os.defpath, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
        ready=lambda: listens(port),
    )
    with running(server):
        yield server
