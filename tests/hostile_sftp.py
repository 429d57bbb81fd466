"""SFTP servers that lie, stall and never end, as no honest one does; made with asyncssh's server side."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

REGULAR = 0o100_644


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A server that is running; any key is let in."""

    port: int
    key: Path
    known_hosts: Path


def named(name: bytes, size: int = 3, modified: int = 1_700_000_000) -> asyncssh.SFTPName:
    """One name of a listing."""
    attributes = asyncssh.SFTPAttrs(size=size, permissions=REGULAR, atime=modified, mtime=modified)
    return asyncssh.SFTPName(name, b"", attributes)


class EndlessFolder(asyncssh.SFTPServer):
    """Lists names for ever."""

    async def scandir(self, _: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        number = 0
        while True:
            number += 1
            yield named(b"%d.csv" % number)


class LyingNames(asyncssh.SFTPServer):
    """Lists names that lead elsewhere."""

    async def scandir(self, _: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        for name in (b"x/../../../etc/passwd.csv", b"/etc/shadow.csv", b"a\x00b.csv", b"", b"n" * 5_000 + b".csv"):
            yield named(name)


class EndlessFile(asyncssh.SFTPServer):
    """Has a file of three bytes from which more can be read than anybody has room for."""

    async def scandir(self, _: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        yield named(b"a.csv")

    def open(self, *_: Any) -> object:
        return object()

    def lstat(self, _: bytes) -> asyncssh.SFTPAttrs:
        return named(b"a.csv").attrs

    def read(self, *_: Any) -> bytes:
        return b"x" * 1_000_000

    def close(self, _: object) -> None:
        pass


class Silent(asyncssh.SFTPServer):
    """Lets one in and never answers again."""

    async def scandir(self, _: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await asyncio.sleep(3_600)
        yield named(b"never.csv")


class _Anybody(asyncssh.SSHServer):
    def begin_auth(self, _: str) -> bool:
        return False


@contextmanager
def hostile_server(folder: Path, kind: type[asyncssh.SFTPServer]) -> Iterator[Hostile]:
    """A server of this kind, in a thread of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    key = folder / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(key))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=_Anybody, server_host_keys=[host_key], sftp_factory=kind
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    port = server.get_port()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")

    async def leave() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield Hostile(port=port, key=key, known_hosts=known_hosts)
    finally:
        asyncio.run_coroutine_threadsafe(leave(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
