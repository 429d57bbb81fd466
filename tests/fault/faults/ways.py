"""Ways to a server that are cut, held, or say the wrong thing; and an object that is replaced."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fault.lines import Tamper
from tests.fault.plan import PROCESSOR, SPLITTER
from tests.fault.scene import Scene
from tests.servers import BUCKET

_PARTED_SECONDS = 6.0
_AWAY_SECONDS = 3.0
_STALL_SECONDS = 5.0
_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # Postgres's message CommandComplete
_ERRORS = {
    "503": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


@contextmanager
def partition(scene: Scene) -> Iterator[str]:
    """All processes of a service and one server do not reach each other, and nobody is told."""
    service, server = scene.plan.where.split("-")
    scene.begin_and_wait()
    lines = scene.world.lines_to(server, service)
    for line in lines:
        line.hold()
    time.sleep(_PARTED_SECONDS)
    for line in lines:
        line.restore()
    yield f"{service} from {server} for {_PARTED_SECONDS:.0f} s, at {scene.plan.share:.0%} of the records"


class _CutAnswer(Tamper):
    """Cuts a connection where the answer to the COMMIT of copied rows would pass, the nth of all."""

    def __init__(self, count: "_Count") -> None:
        self._count = count
        self._copied = False

    def to_server(self, data: bytes) -> bytes:
        self._copied = self._copied or b"COPY" in data
        return data

    def to_client(self, data: bytes) -> bytes | None:
        if _COMMITTED in data and self._copied:
            self._copied = False
            return None if self._count.is_the_one() else data
        return data


class _Count:
    """Which of many it is; shared by all connections."""

    def __init__(self, nth: int) -> None:
        self._left, self._lock = nth, threading.Lock()
        self.reached = threading.Event()

    def is_the_one(self) -> bool:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.reached.set()
            return self._left == 0


@contextmanager
def commit_answer_cut(scene: Scene) -> Iterator[str]:
    """The database commits a processor's batch, and the processor is never told."""
    count = _Count(scene.plan.nth)
    lines = scene.world.lines_to("postgres", PROCESSOR)
    for line in lines:
        line.tamper(lambda: _CutAnswer(count))
    scene.begin()
    try:
        scene.until(count.reached.is_set, "a COMMIT of copied rows")
        scene.struck()
    finally:
        for line in lines:
            line.restore()
    yield f"answer to COMMIT of copied rows, time {scene.plan.nth}"


class _Shortened(Tamper):
    """Lets so many bytes of answers pass, then cuts the connection, and tells."""

    def __init__(self, most: int, cut: threading.Event) -> None:
        self._left, self._cut = most, cut

    def to_client(self, data: bytes) -> bytes | None:
        self._left -= len(data)
        if self._left >= 0:
            return data
        self._cut.set()
        return None


@contextmanager
def store_errors(scene: Scene) -> Iterator[str]:
    """The object store answers everything by an error."""
    lines = scene.world.lines_to("store", SPLITTER)
    for line in lines:
        line.answer(_ERRORS[scene.plan.where])
    scene.begin()
    scene.until(scene.all_accepted, "the uploads to be accepted")
    time.sleep(_AWAY_SECONDS)
    scene.struck()
    for line in lines:
        line.restore()
    yield f"{scene.plan.where} to the splitters for {_AWAY_SECONDS:.0f} s from the first request on"


@contextmanager
def store_stalls(scene: Scene) -> Iterator[str]:
    """The object store falls silent in the middle of an object, and then goes on."""
    scene.begin_and_wait()
    lines = scene.world.lines_to("store", SPLITTER)
    for line in lines:
        line.hold()
    time.sleep(_STALL_SECONDS)
    for line in lines:
        line.drop()
        line.restore()
    yield f"for {_STALL_SECONDS:.0f} s at {scene.plan.share:.0%} of the records, then cut"


@contextmanager
def store_truncates(scene: Scene) -> Iterator[str]:
    """Answers of the object store end early, again and again, each a little later in the object."""
    most = _shorten(scene)
    time.sleep(_AWAY_SECONDS)
    _restore(scene)
    yield f"after {most} bytes of every answer"


@contextmanager
def object_overwritten(scene: Scene) -> Iterator[str]:
    """Somebody stores another file under the key of each that is being read, while a cut interrupts the reading."""
    most = _shorten(scene)
    store = scene.world.objects()
    for upload in scene.uploads:
        upload.wait()
        upload.may_end = ("failed", "completed")  # completed, if it had been read to its end
        (row,) = scene.world.query("SELECT s3_key FROM batch_uploads WHERE id = %s", upload.upload_id)
        data = upload.sample.data
        lines = data.splitlines(keepends=True)
        other = b"".join(reversed(lines)) if scene.plan.where == "same-size" else data[: len(data) // 2]
        store.put(BUCKET, row.s3_key, io.BytesIO(other))
    _restore(scene)
    yield f"{scene.plan.where}, the first after {most} bytes"


def _shorten(scene: Scene) -> int:
    """Cut every answer of the object store to the splitters short, and wait for the first; after how many bytes."""
    most, cut = int(150_000 + scene.plan.share * 500_000), threading.Event()
    for line in scene.world.lines_to("store", SPLITTER):
        line.tamper(lambda: _Shortened(most, cut))
    scene.begin()
    scene.until(cut.is_set, "an answer to be cut")
    scene.struck()
    return most


def _restore(scene: Scene) -> None:
    for line in scene.world.lines_to("store", SPLITTER):
        line.restore()


FAULTS = {
    "partition": partition,
    "commit-answer-cut": commit_answer_cut,
    "store-errors": store_errors,
    "store-stalls": store_stalls,
    "store-truncates": store_truncates,
    "object-overwritten": object_overwritten,
}
