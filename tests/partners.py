"""A partner who puts files on a real SFTP server, and looks at that server as the gateway makes them."""

import asyncio
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from ingest_gateway.arrivals.sftp import look
from ingest_gateway.gateway import Gateway
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.runtime.sources import SftpSource
from rowstream.storage.s3 import S3Store
from tests import servers

RECORD_TYPE = "member_certification"


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A folder of the partner's server that only one test uses."""

    server: servers.Sshd
    folder: Path

    def put(self, name: str | bytes, content: bytes = b"abc", *, modified: int = 1_700_000_000) -> Path:
        """A file as it lies there, changed last at this time."""
        path = self.folder / os.fsdecode(name)
        path.write_bytes(content)
        os.utime(path, (modified, modified))
        return path

    def names(self, under: str = ".") -> list[str]:
        """What lies there, without folders."""
        with suppress(FileNotFoundError):
            return sorted(path.name for path in (self.folder / under).iterdir() if not path.is_dir())
        return []

    def says(self, **fields: Any) -> dict[str, Any]:
        """What a sources file says of this folder: finished are files with their final name, taken ones are moved."""
        said = {
            "name": self.folder.name,
            "organization": str(DEFAULT_ORGANIZATION),
            "record_type": RECORD_TYPE,
            "host": "127.0.0.1",
            "port": self.server.port,
            "username": self.server.user,
            "private_key_file": str(self.server.key),
            "known_hosts_file": str(self.server.known_hosts),
            "folder": str(self.folder),
            "pattern": "*.csv",
            "every_seconds": 1,
            "rename": "*.part",
            "move_to": str(self.folder / "taken"),
        }
        return {name: value for name, value in (said | fields).items() if value is not None}

    def source(self, **fields: Any) -> SftpSource:
        """The source that this folder is; a field that is None is left out."""
        return SftpSource.model_validate(self.says(**fields))


def write_sources(file: Path, *sources: Mapping[str, Any]) -> None:
    """A sources file that says this."""
    lines = []
    for source in sources:
        lines += ["[[sftp]]", *(f"{name} = {json.dumps(value)}" for name, value in source.items())]
    file.write_text("\n".join(lines))


def look_once(gateway: Gateway, source: SftpSource) -> bool:
    """One look, to its end; raises what it raises."""
    return asyncio.run(look(gateway, source, threading.Event()))


def rows(url: str, query: str, *values: object) -> Sequence[tuple[Any, ...]]:
    """What the database answers."""
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


def uploads(url: str) -> list[tuple[Any, ...]]:
    """Filename and size of each upload, in the order that they were accepted in."""
    return list(rows(url, "SELECT filename, size_bytes FROM batch_uploads ORDER BY accepted_at"))


def states(url: str) -> dict[str, tuple[str, str | None]]:
    """State and reason of each remembered file, by its name."""
    found = rows(url, "SELECT path, state, reason FROM sftp_files")
    return {path.rpartition("/")[2]: (state, reason) for path, state, reason in found}


def stored(url: str, store: S3Store) -> list[bytes]:
    """The content of each upload's object, in the order that they were accepted in."""
    found = rows(url, "SELECT s3_bucket, s3_key, etag, size_bytes FROM batch_uploads ORDER BY accepted_at")
    contents = []
    for bucket, key, etag, size in found:
        with closing(store.open(bucket, key, etag=etag, size=size)) as stream:
            contents.append(b"".join(iter(partial(stream.read, 1_000_000), b"")))
    return contents
