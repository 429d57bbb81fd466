"""Stores an object whose bytes come one after another and whose size nobody knows, with bounded memory."""

from typing import Self

from rowstream.runtime.logging import get_logger
from rowstream.storage.s3 import S3Store
from rowstream.storage.store import Begun, ObjectInfo, Part, StoreUnavailable

log = get_logger(__name__)

PART_BYTES = 8 * 2**20


class ObjectWriter:
    """One object on its way to the store: `write` its bytes, then `finish`, or `discard` what was stored so far.

    What fits into one part is stored in one request at the end, all else in parts; at most one part is held in memory.
    Leaving `with` other than by `finish` discards.
    """

    def __init__(self, store: S3Store, bucket: str, key: str, *, part_bytes: int = PART_BYTES) -> None:
        self._store, self._bucket, self._key, self._part_bytes = store, bucket, key, part_bytes
        self._held = bytearray()
        self._begun: Begun | None = None
        self._parts: list[Part] = []
        self._stored = False
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._stored:
            self.discard()

    def fits(self, data: bytes) -> bool:
        """Whether `write` would only hold this; if not, it talks to the store."""
        return len(self._held) + len(data) <= self._part_bytes

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            StoreUnavailable: the store does not answer; discard what was stored.
        """
        self.size += len(data)
        view = memoryview(data)
        while view:
            room = self._part_bytes - len(self._held)
            if not room:
                self._send()
                continue
            self._held += view[:room]
            view = view[room:]

    def finish(self) -> ObjectInfo:
        """Store what is still held; from now on the object is there, and `discard` removes it.

        Raises:
            StoreUnavailable: the store does not answer; discard what was stored.
        """
        if self._begun is None:
            found = self._store.put_bytes(self._bucket, self._key, self._held)
        else:
            self._send()
            self._store.parts.complete(self._begun, self._parts)
            found = self._store.look(self._bucket, self._key)
        self._stored = True
        return found

    def discard(self) -> None:
        """Remove what was stored; where the store is away, that is left to whoever cleans up after uploads."""
        self._held = bytearray()
        try:
            if self._begun is not None:
                self._store.parts.drop(self._begun)
            self._store.delete(self._bucket, self._key)
        except StoreUnavailable as error:
            log.warning("what was stored of a file is not removed yet", reason=str(error))

    def _send(self) -> None:
        if self._begun is None:
            id_ = self._store.parts.begin(self._bucket, self._key)
            self._begun = Begun(bucket=self._bucket, key=self._key, id=id_)
        self._parts.append(self._store.parts.send(self._begun, len(self._parts) + 1, self._held))
        self._held = bytearray()
