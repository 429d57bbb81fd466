"""A partner's SFTP server, as far as the sync needs it: log in, list one folder, read a file, put it aside.

Only by a key and only to a server whose own key is known: no agent, no password, no settings of the user that this
process runs as. Whatever the server says is doubted: names are bytes, the list has an end, every answer a time limit,
and nothing that it lists is followed, neither folders nor links.
"""

import asyncio
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

import asyncssh

from ingest_gateway.arrivals.sftp_errors import FileChanged, FileRefused, PartnerAway, named, where
from ingest_gateway.arrivals.sftp_plan import Kind, Listed, RemoteFile
from rowstream.runtime.sources import SftpSource

MOST_NAMES = 50_000
"""So many names of a folder are looked at; a server could list for ever."""
_CONNECT_SECONDS = 15.0
_LIST_SECONDS = 300.0
_ANSWER_SECONDS = 60.0
_LEAVE_SECONDS = 5.0
_ALIVE_SECONDS = 15
_PIECE = 1_000_000

_KINDS = {asyncssh.FILEXFER_TYPE_REGULAR: Kind.FILE, asyncssh.FILEXFER_TYPE_DIRECTORY: Kind.FOLDER}


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a folder; not `complete` if there were more than are looked at."""

    names: list[Listed]
    complete: bool


class RemoteFolder:
    """The source's folder on a server that we are logged in to."""

    def __init__(
        self, source: SftpSource, connection: asyncssh.SSHClientConnection, client: asyncssh.SFTPClient
    ) -> None:
        self._source, self._connection, self._client = source, connection, client
        self._folder = source.folder.encode()
        self._tried_to_make = False

    async def list(self) -> Listing:
        """What lies in the folder.

        Raises:
            PartnerAway: it cannot be listed.
        """
        names: list[Listed] = []

        async def read() -> bool:
            entries = cast("AsyncGenerator[asyncssh.SFTPName]", self._client.scandir(self._folder))
            async with aclosing(entries):
                async for entry in entries:
                    if len(names) == MOST_NAMES:
                        return False
                    names.append(_listed(_bytes(entry.filename), entry.attrs))
            return True

        with named(self._source, "folder"):
            complete = await self._in_time(asyncio.ensure_future(read()), _LIST_SECONDS)
        return Listing(names, complete=complete)

    async def _in_time(self, task: "asyncio.Future[bool]", seconds: float) -> bool:
        """What a task comes to; where it takes too long the line is cut, since at its end it would ask once more."""
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # also if nobody waits any more
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            self._connection.abort()
            task.cancel()
            raise
        if done:
            return task.result()
        self._connection.abort()
        await asyncio.wait({task}, timeout=_LEAVE_SECONDS)
        task.cancel()
        raise TimeoutError

    @asynccontextmanager
    async def open(self, file: RemoteFile) -> AsyncIterator["RemoteStream"]:
        """A file to be read.

        Raises:
            FileChanged: it is gone.
            FileRefused: the server does not let it be read.
            PartnerAway: the server does not answer.
        """
        with named(self._source, "unreachable", file):
            async with asyncio.timeout(_ANSWER_SECONDS):
                opened = await self._client.open(self._path(file.name), "rb")
        try:
            yield RemoteStream(self, file, opened)
        finally:
            with suppress(asyncssh.Error, OSError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await opened.close()

    async def read(self, opened: asyncssh.SFTPClientFile, file: RemoteFile, size: int) -> bytes:
        """At most `size` bytes of a file from where it was read last; none at its end."""
        with named(self._source, "unreachable", file):
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await opened.read(size)

    async def check(self, file: RemoteFile) -> None:
        """Make sure that a file is still the one that was listed.

        Raises:
            FileChanged: it is not.
            PartnerAway: the server does not answer.
        """
        with named(self._source, "unreachable", file):
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = _listed(file.name, await self._client.lstat(self._path(file.name)))
        if (found.kind, found.size, found.modified) != (Kind.FILE, file.size, file.modified):
            raise FileChanged(f"{file.path} changed while it was read; it is looked at again")

    async def put_aside(self, file: RemoteFile, *, otherwise: str) -> None:
        """Move a taken file, or mark it, as the source wants; `otherwise` is added to a name that is taken there.

        Raises:
            FileRefused: the server does not allow it.
            PartnerAway: the server does not answer.
        """
        with named(self._source, "unreachable", file):
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._source.mark is not None:
                    mark = await self._client.open(self._path(file.name + self._source.mark.encode()), "ab")
                    await mark.close()
                elif self._source.move_to is not None:
                    await self._move(file, self._source.move_to.encode(), otherwise.encode())

    async def _move(self, file: RemoteFile, to: bytes, otherwise: bytes) -> None:
        """Move a file; its marker first, since a marker without its file would vouch for the next one of that name."""
        if not self._tried_to_make:
            self._tried_to_make = True
            with suppress(
                asyncssh.SFTPError
            ):  # it is there already, or it will be said when nothing can be moved there
                await self._client.mkdir(to)
        if self._source.done_marker is not None:
            marker = file.name + self._source.done_marker.encode()
            with suppress(asyncssh.SFTPNoSuchFile):
                await self._rename(marker, posixpath.join(to, marker), otherwise)
        try:
            await self._rename(file.name, posixpath.join(to, file.name), otherwise)
        except asyncssh.SFTPNoSuchFile as error:
            raise FileRefused(f"{where(self._source)} has no folder {self._source.move_to}; make it") from error

    async def _rename(self, name: bytes, to: bytes, otherwise: bytes) -> None:
        try:
            await self._client.rename(self._path(name), to)  # refuses to replace a file
        except asyncssh.SFTPFailure:
            await self._client.rename(self._path(name), to + b"." + otherwise)

    def _path(self, name: bytes) -> bytes:
        return posixpath.join(self._folder, name)


class RemoteStream:
    """The bytes of one remote file, in order; the last ones are only given once the file proved to be unchanged."""

    def __init__(self, folder: RemoteFolder, file: RemoteFile, opened: asyncssh.SFTPClientFile) -> None:
        self._folder, self._file, self._opened = folder, file, opened
        self._position = 0

    async def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end.

        Raises:
            FileChanged, FileRefused, PartnerAway: as the names say.
        """
        data = bytearray()
        wanted = min(size, self._file.size - self._position) if size >= 0 else self._file.size - self._position
        while len(data) < wanted:
            piece = await self._folder.read(self._opened, self._file, min(_PIECE, wanted - len(data)))
            data += piece
            if not piece or len(data) > wanted:
                raise FileChanged(f"{self._file.path} has not the size that was listed; it is looked at again")
        self._position += len(data)
        if self._position == self._file.size:
            await self._folder.check(self._file)
        return bytes(data)


@asynccontextmanager
async def connected(source: SftpSource) -> AsyncIterator[RemoteFolder]:
    """The source's folder, logged in to.

    Raises:
        PartnerAway: it was not possible; says what a person can do about it.
    """
    key, known_hosts = _files(source)
    with named(source, "unreachable"):
        async with asyncio.timeout(2 * _CONNECT_SECONDS):
            connection = await asyncssh.connect(
                source.host,
                source.port,
                username=source.username,
                client_keys=[key],
                known_hosts=known_hosts,
                config=None,
                agent_path=None,
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_kex=False,
                gss_auth=False,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                connect_timeout=_CONNECT_SECONDS,
                login_timeout=_CONNECT_SECONDS,
                keepalive_interval=_ALIVE_SECONDS,
            )
    try:
        with named(source, "unreachable"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                client = await connection.start_sftp_client()
        yield RemoteFolder(source, connection, client)
    finally:
        await _leave(connection)


async def _leave(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await connection.wait_closed()
    except (TimeoutError, asyncssh.Error, OSError):
        connection.abort()


def _files(source: SftpSource) -> tuple[asyncssh.SSHKey, asyncssh.SSHKnownHosts]:
    """Our key and the known hosts, from the files that the source names."""
    try:
        key = asyncssh.read_private_key(source.private_key_file)
    except OSError as error:
        raise PartnerAway("settings", f"private_key_file {source.private_key_file}: {error.strerror}") from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        raise PartnerAway(
            "settings", f"private_key_file {source.private_key_file} holds no key without a passphrase: {error}"
        ) from error
    try:
        known_hosts = asyncssh.read_known_hosts(str(source.known_hosts_file))
    except OSError as error:
        raise PartnerAway("settings", f"known_hosts_file {source.known_hosts_file}: {error.strerror}") from error
    except ValueError as error:
        raise PartnerAway("settings", f"known_hosts_file {source.known_hosts_file}: {error}") from error
    return key, known_hosts


def _listed(name: bytes, attributes: asyncssh.SFTPAttrs) -> Listed:
    kind = _KINDS.get(attributes.type, Kind.OTHER)
    modified = None if attributes.mtime is None else int(attributes.mtime)
    return Listed(name, kind, attributes.size, modified)


def _bytes(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode()
