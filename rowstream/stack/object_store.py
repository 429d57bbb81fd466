"""The embedded object store: localbucket, an S3 server whose buckets are folders; it checks no credentials."""

import os
import sys
from pathlib import Path

from rowstream.stack import ports
from rowstream.stack.part import Part
from rowstream.stack.probes import listens
from rowstream.stack.state_dir import StateDir

STORAGE = "storage"
_SERVER = "rowstream.stack.bucket_server"


def object_store_part(state: StateDir, port: int, bucket: str) -> Part:
    """The object store at `port`, with `bucket` in it."""
    folder = state.path / "objects"

    def prepare() -> None:
        ports.require(port, ports.ANOTHER_PORT)
        _make_folders(folder, folder / bucket)

    return Part(
        name=STORAGE,
        command=(sys.executable, "-P", "-m", _SERVER, "--host", "127.0.0.1", "--port", str(port), str(folder)),
        environment={**os.environ, "PYTHONUNBUFFERED": "1"},
        folder=state.path,
        prepare=prepare,
        ready=listens(port),
        grace=5.0,
    )


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
