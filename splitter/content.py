"""A file's identity: the SHA-256 of its bytes, the same whichever way it comes and whatever it is called.

Every file is hashed while it is split, from the blocks that are read anyway. Where an organization refuses files that
came before (its `duplicate_policy`), the digest must be known before the plan is pinned; then the file is read once
more beforehand, but only if another one of its size stands, and that one too if nobody has noted its digest yet.
"""

import functools
import hashlib
import threading
from contextlib import closing
from uuid import UUID

from sqlalchemy import Connection

from rowstream.runtime.logging import get_logger
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import ObjectChanged, ObjectMissing, RequestRefused
from splitter import twins
from splitter.lease import Lease
from splitter.lookahead import Readable
from splitter.plan import Plan
from splitter.sender import Stopping
from splitter.twins import SameFile, Stored

log = get_logger(__name__)

_READ_BYTES = 1 << 20
_REMEMBERED = 4_096


class Hashed:
    """A stream that knows the SHA-256 of all that was read of it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; raises what the stream raises."""
        data = self._stream.read(size)
        self._sha256.update(data)
        return data

    @property
    def sha256(self) -> bytes:
        """Of what was read so far: 32 bytes."""
        return self._sha256.digest()


class Digests:
    """The digests of stored objects, found by reading them; the latest ones are remembered. Safe in several threads.

    An entity tag is no such digest: it is another one for an object that came in parts.
    """

    def __init__(self, store: S3Store, stop: threading.Event) -> None:
        self._store, self._stop = store, stop
        self._remembered = functools.lru_cache(_REMEMBERED)(self._read)

    def of(self, stored: Stored) -> bytes:
        """The object's SHA-256.

        Raises:
            ObjectMissing, ObjectChanged, StoreUnavailable: as the names say.
            Stopping: the service is asked to stop.
        """
        return self._remembered(stored)

    def _read(self, stored: Stored) -> bytes:
        with closing(self._store.open(stored.bucket, stored.key, etag=stored.etag, size=stored.size_bytes)) as stream:
            hashed = Hashed(stream)
            while hashed.read(_READ_BYTES):
                if self._stop.is_set():
                    raise Stopping
        return hashed.sha256


class _Unread(Exception):
    """Digests are needed that nobody has noted; they are read outside of the transaction."""

    def __init__(self, objects: dict[UUID, Stored]) -> None:
        super().__init__()
        self.objects = objects


def pin_unless_known(lease: Lease, plan: Plan, digests: Digests) -> None:
    """Pin the plan, unless an upload that stands has the same bytes: it and the pin are looked at under one lock.

    Raises:
        SameFile: one has.
        ObjectMissing, ObjectChanged, StoreUnavailable: the upload's own object cannot be read.
        Stopping, LeaseLost: leave it.
    """
    job = lease.job
    read: dict[UUID, bytes | None] = {}

    def look(connection: Connection) -> bytes | None:
        twins.lock(connection, job)
        others = twins.in_the_way(connection, job)
        if not others:
            return None
        objects = {job.upload_id: Stored(job.bucket, job.key, job.etag, job.size_bytes)}
        objects |= {other.upload_id: other.stored for other in others if other.sha256 is None}
        if unread := {upload: stored for upload, stored in objects.items() if upload not in read}:
            raise _Unread(unread)
        for other in others:
            if (other.sha256 or read[other.upload_id]) == read[job.upload_id]:
                raise SameFile(other)
        return read[job.upload_id]

    while True:
        try:
            lease.pin(plan, look=look)
        except _Unread as unread:
            for upload, stored in unread.objects.items():
                read[upload] = digests.of(stored) if upload == job.upload_id else _of_another(stored, digests)
                lease.check()
        else:
            return


def _of_another(stored: Stored, digests: Digests) -> bytes | None:
    """The digest of another upload's object; None if that is gone or another, so that nobody can compare it."""
    try:
        return digests.of(stored)
    except (ObjectMissing, ObjectChanged, RequestRefused) as error:
        log.info("an earlier file of the same size cannot be compared", reason=str(error))
        return None
