"""One look at a partner's SFTP server: what is finished there is fetched, through the same use case as all ways in.

The folder is listed, `sftp_plan` says what is finished, and each finished file is streamed into the store, accepted
and put aside. What a crash leaves behind is finished by the next look, without storing again what the store has.
"""

import asyncio
import posixpath
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, TypeVar, cast
from uuid import UUID

from sqlalchemy import Connection

from ingest_gateway import accept, quotas
from ingest_gateway.arrivals import sftp_files
from ingest_gateway.arrivals.sftp_errors import FileChanged, PartnerAway
from ingest_gateway.arrivals.sftp_plan import Act, Decision, RemoteFile, plan, remote_file
from ingest_gateway.arrivals.sftp_server import MOST_NAMES, Listing, RemoteFolder, RemoteStream, connected
from ingest_gateway.doer import system
from ingest_gateway.filenames import clean_filename
from ingest_gateway.gateway import Gateway
from ingest_gateway.sources import NoSuchOrganization, organization_of
from rowstream.errors import Poison, Retryable
from rowstream.ids import new_id
from rowstream.messages.envelope import child_span
from rowstream.runtime.logging import get_logger
from rowstream.runtime.metrics import SFTP_BYTES, SFTP_FILES, SFTP_FILES_LEFT, SFTP_FILES_WAITING
from rowstream.runtime.sources import SftpSource
from rowstream.runtime.steps import Step, reached
from rowstream.storage.s3 import LARGEST_PUT
from rowstream.storage.store import ObjectInfo, ObjectMissing, StoreUnavailable

log = get_logger(__name__)

T = TypeVar("T")


class Stopped(Retryable):
    """The service was asked to stop; the file is fetched next time."""


class Overtaken(Retryable):
    """Another gateway has taken the file on meanwhile."""


async def look(gateway: Gateway, source: SftpSource, stop: threading.Event) -> bool:
    """Fetch what is finished in a source's folder; False if another gateway is at it.

    Raises:
        PartnerAway: the partner's server cannot be used now, or what the sources file says of it is wrong.
        Retryable: the database or the object store is away, the service is to stop, or another gateway took over.
    """
    try:
        organization_id = await asyncio.to_thread(organization_of, gateway, source)
    except NoSuchOrganization as error:
        raise PartnerAway("settings", str(error)) from error
    if source.move_to is not None and _same_folder(source.move_to, source.folder):
        raise PartnerAway("settings", f"move_to {source.move_to} is the folder itself; name another")
    async with _alone(gateway, source) as lock:
        if lock is None:
            return False
        async with connected(source) as folder:
            await _Look(gateway, source, organization_id, folder, lock, stop).run()
    return True


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look works with."""

    gateway: Gateway
    source: SftpSource
    organization_id: UUID
    folder: RemoteFolder
    lock: sftp_files.Lock
    stop: threading.Event

    async def run(self) -> None:
        listing = await self.folder.list()
        if not listing.complete:
            log.warning("the folder has more names than are looked at, the others wait", names=MOST_NAMES)
        for decision in await self._decide(listing):
            if decision.act not in {Act.TAKE, Act.PUT_ASIDE}:
                continue
            if self.stop.is_set():
                raise Stopped("the service is to stop")
            await asyncio.to_thread(self.lock.check)
            if decision.act is Act.PUT_ASIDE:
                await self._put_aside(decision.file)
            else:
                await self._try_to_take(decision)

    async def _decide(self, listing: Listing) -> list[Decision]:
        """What to do with each file; what is seen for the first time or left is remembered, what is gone forgotten."""
        files = [remote_file(self.source, one) for one in listing.names]
        known = await self._in_database(
            partial(sftp_files.known, source=self.source.name, paths=[file.path for file in files])
        )
        max_bytes = min(self.gateway.settings.gateway.max_upload_bytes, LARGEST_PUT)
        decisions = plan(self.source, listing.names, known, max_bytes=max_bytes)
        waiting = [one for one in decisions if one.act is Act.WAIT]
        left = [one for one in decisions if one.act is Act.LEAVE]
        gone = known.keys() - {file.identity for file in files} if listing.complete else ()

        def remember(connection: Connection) -> list[str]:
            place = (connection, self.organization_id, self.source.name)
            sftp_files.see(*place, [one.file for one in waiting if not one.known])
            sftp_files.leave(*place, [(one.file, one.reason) for one in left if _is_news(one)])
            return sftp_files.forget(*place, gone)

        for key in await self._in_database(remember):
            await asyncio.to_thread(self.gateway.store.delete, self.gateway.settings.storage.bucket, key)
        for one in left:
            self._say_left(one)
        SFTP_FILES_WAITING.labels(self.source.name).set(len(waiting))
        SFTP_FILES_LEFT.labels(self.source.name).set(len(left))
        return decisions

    async def _try_to_take(self, decision: Decision) -> None:
        """Take a file in and put it aside; what fails for this file alone does not keep the others waiting."""
        file = decision.file
        try:
            await self._take(decision)
        except FileChanged as error:
            self._count("changed")
            log.info("file not taken", path=file.path, reason=str(error))
            return
        except Poison as error:
            await self._leave(replace(decision, reason=str(error)))
            return
        except (PartnerAway, StoreUnavailable) as error:
            # The others come first next time: it may be this file's fault.
            await self._leave(replace(decision, reason=str(error)))
            raise
        await self._put_aside(file)

    async def _take(self, decision: Decision) -> None:
        file, origin = decision.file, self._origin(decision.file)
        earlier = await self._in_database(partial(accept.find, source=origin.source, event_id=origin.event_id))
        if earlier:
            await self._in_database(self._with_place(sftp_files.take, file, earlier.id))
            self._count("again")
            log.info("file was taken in before", path=file.path, upload_id=str(earlier.id))
            return
        key, found = await self._stored(decision)

        def accepted(connection: Connection) -> UUID:
            if not self._with_place(sftp_files.hold, file, key)(connection):
                raise Overtaken(f"another gateway has taken {file.path} on")
            handed = accept.Handed(record_type=self.source.record_type, filename=clean_filename(file.name.decode()))
            bucket = self.gateway.settings.storage.bucket
            upload_id = accept.take_in(connection, origin, handed, bucket=bucket, key=key, found=found)
            if upload_id is None:
                raise Overtaken(f"another gateway has taken {file.path} in")
            self._with_place(sftp_files.take, file, upload_id)(connection)
            return upload_id

        upload_id = await self._in_database(accepted)
        reached(Step.UPLOAD_ACCEPTED)
        self._count("taken")
        log.info("file taken in", path=file.path, size_bytes=file.size, upload_id=str(upload_id))

    async def _stored(self, decision: Decision) -> tuple[str, ObjectInfo]:
        """The file's object: the one that an earlier look stored and did not come to accept, or a new one."""
        file, store, bucket = decision.file, self.gateway.store, self.gateway.settings.storage.bucket
        key = decision.known.key if decision.known else None
        if key:
            try:
                found = await asyncio.to_thread(store.look, bucket, key)
            except ObjectMissing:
                pass
            else:
                return key, found  # whole, or it would not be there; and the file is as it was, or it had no such row
        key = f"{accept.RAW_UPLOADS}{self.organization_id}/{new_id()}"
        await self._in_database(partial(quotas.foresee, organization_id=self.organization_id, size_bytes=file.size))
        if not await self._in_database(self._with_place(sftp_files.claim, file, key)):
            raise Overtaken(f"another gateway has taken {file.path} in")
        reached(Step.SFTP_FILE_CLAIMED)
        async with self.folder.open(file) as stream:
            body = _Body(stream, asyncio.get_running_loop(), self.stop, self.source.name)
            found = await asyncio.to_thread(store.put, bucket, key, cast("BinaryIO", body))
        if found.size != file.size:
            raise StoreUnavailable(f"the object store has {found.size} bytes of {file.size}")
        reached(Step.SFTP_FILE_STORED)
        return key, found

    async def _put_aside(self, file: RemoteFile) -> None:
        """Move or mark a file that was taken, if it is still the one that was."""
        if self.source.leave:
            return
        try:
            await self.folder.check(file)
            await self.folder.put_aside(file, otherwise=str(new_id()))
        except FileChanged as error:
            log.info("file not put aside", path=file.path, reason=str(error))
        except Poison as error:
            await self._in_database(self._with_place(sftp_files.stays, file, str(error)))
            self._count("stays")
            log.warning("a file was taken and cannot be put aside, it stays", path=file.path, reason=str(error))
        else:
            reached(Step.SFTP_FILE_PUT_ASIDE)

    async def _leave(self, decision: Decision) -> None:
        left = [(decision.file, decision.reason)]
        await self._in_database(
            lambda connection: sftp_files.leave(connection, self.organization_id, self.source.name, left)
        )
        self._say_left(decision)

    def _say_left(self, decision: Decision) -> None:
        if _is_news(decision):
            self._count("left")
            log.warning("a file is left where it is", path=decision.file.path, reason=decision.reason)

    def _origin(self, file: RemoteFile) -> accept.Origin:
        name = f"sftp:{self.source.name}"
        by = system(self.organization_id, name, way="ftp", correlation_id=str(new_id()), address=self.source.host)
        return accept.Origin(by=by, source=name, event_id=file.event_id, traceparent=child_span(""))

    def _count(self, outcome: str) -> None:
        SFTP_FILES.labels(self.source.name, outcome).inc()

    def _with_place(self, act: Callable[..., T], file: RemoteFile, *more: object) -> Callable[[Connection], T]:
        """One of `sftp_files`' functions about this file, to be called with a connection."""
        return lambda connection: act(connection, self.organization_id, self.source.name, file, *more)

    async def _in_database(self, act: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self.gateway.acting_for(self.organization_id) as connection:
                return act(connection)

        return await asyncio.to_thread(run)


class _Body:
    """A remote file as the store reads it, in a thread beside the event loop that the connection lives in."""

    def __init__(
        self, stream: RemoteStream, loop: asyncio.AbstractEventLoop, stop: threading.Event, source: str
    ) -> None:
        self._stream, self._loop, self._stop, self._source = stream, loop, stop, source

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer than `size` only at the end.

        Raises:
            Stopped: the service is to stop.
            FileChanged, FileRefused, PartnerAway: as the names say; nothing is stored then.
        """
        if self._stop.is_set():
            raise Stopped("the service is to stop")
        data = asyncio.run_coroutine_threadsafe(self._stream.read(size), self._loop).result()
        SFTP_BYTES.labels(self._source).inc(len(data))
        return data

    def seekable(self) -> bool:
        """It is read once, from its beginning."""
        return False


@asynccontextmanager
async def _alone(gateway: Gateway, source: SftpSource) -> AsyncIterator[sftp_files.Lock | None]:
    """The right to work the source, while inside; None if another gateway has it."""
    held = sftp_files.working_alone(gateway.engine, source.name)
    lock = await asyncio.to_thread(held.__enter__)
    try:
        yield lock
    finally:
        await asyncio.to_thread(held.__exit__, None, None, None)


def _is_news(decision: Decision) -> bool:
    """Whether it was not known before that this file is left, and for this reason."""
    before = decision.known
    return before is None or (before.state != "taken" and (before.state, before.reason) != ("left", decision.reason))


def _same_folder(one: str, other: str) -> bool:
    return posixpath.normpath(one) == posixpath.normpath(other)
