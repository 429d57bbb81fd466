"""Sends a file to the system, block by block from the disk: ask where to, send it there, confirm it."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from rowstream.cli.client import ApiError
from rowstream.cli.options import WrongUsage
from rowstream.cli.patience import Refused, patiently
from rowstream.errors import RowstreamError

if TYPE_CHECKING:
    import httpx

UPLOADS = "/api/v1/batch_uploads"
Sent = Callable[[int], None]
"""Called with the number of bytes of the file that were sent so far; it falls to 0 when the file is sent again."""

_BLOCK = 1 << 20
_API_SECONDS, _STORE_SECONDS = 4.0, 20.0
_STORE_TIMEOUT = 60.0
_NOT_OURS = 400, 401, 403, 413, 422
"""Answers to the first request that mean that the command, its key or its file is not right."""


class NotSent(RowstreamError):
    """The file did not reach the object store, so there is no upload."""


class LocalFile:
    """An open file that is to be sent whole, as it is now."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.name = path.name
        self._path, self._file = path, file
        found = os.fstat(file.fileno())
        self.size = found.st_size
        self._seen = (found.st_size, found.st_mtime_ns)

    def blocks(self, sent: Sent) -> Iterator[bytes]:
        """The file's bytes from its start; `sent` is told when a block was taken and the next one is asked for."""
        self._file.seek(0)
        sent(0)
        left = self.size
        while left and (block := self._file.read(min(left, _BLOCK))):
            yield block
            left -= len(block)
            sent(self.size - left)
        self._check()

    def _check(self) -> None:
        """Raises NotSent if somebody wrote to the file meanwhile: what was sent may be half of a line."""
        found = os.fstat(self._file.fileno())
        if self._seen != (found.st_size, found.st_mtime_ns):
            raise NotSent(f"{self._path} changed while it was sent; send it again when nobody writes to it any more")


class _Readable:
    """A file's blocks as what a form wants: something to read from, that can be rewound and knows its length."""

    def __init__(self, file: LocalFile, sent: Sent) -> None:
        self._file, self._sent = file, sent
        self._blocks, self._rest = file.blocks(sent), b""

    def tell(self) -> int:
        return 0

    def seek(self, _: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            return self._file.size
        self._blocks, self._rest = self._file.blocks(self._sent), b""
        return 0

    def read(self, size: int) -> bytes:
        self._rest = self._rest or next(self._blocks, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@contextmanager
def local_file(path: Path) -> Iterator[LocalFile]:
    """Open the file to send.

    Raises:
        WrongUsage: it is not there, is no plain file, or may not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "no plain file"
            raise WrongUsage(f"{path} is {what}; give the file that is to be uploaded")
        file = path.open("rb")
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield LocalFile(path, file)


def send(client: "httpx.Client", file: LocalFile, record_type: str, sent: Sent) -> Mapping[str, Any]:
    """Upload a file; from its return on the system answers for it.

    A request that fails for a moment is made again, under one Idempotency-Key, so it never makes a second upload.

    Args:
        client: of the API.
        file: what to send.
        record_type: what each of its records is.
        sent: told of the progress.

    Returns:
        The upload as the API shows it.

    Raises:
        WrongUsage: the API does not take such a file, or such a record type.
        NotSent: the object store did not take the file.
        ApiError: the API said no to something else.
    """
    wanted = {"record_type": record_type, "filename": file.name, "size_bytes": file.size}
    key = {"Idempotency-Key": str(uuid4())}
    try:
        place = _post(client, f"{UPLOADS}/presigned_url", wanted, key)
    except ApiError as error:
        if error.status in _NOT_OURS:
            raise WrongUsage(str(error)) from error
        raise
    _store(place, file, sent)
    return _post(client, UPLOADS, {"upload_id": place["upload_id"]}, {})


def _post(client: "httpx.Client", path: str, body: object, headers: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = patiently(
        lambda: client.post(path, json=body, headers=headers).json(), seconds=_API_SECONDS
    )
    return answer


def _store(place: Mapping[str, Any], file: LocalFile, sent: Sent) -> None:
    import httpx  # noqa: PLC0415 - only commands that talk to a system pay for it

    # Another client than the API's: the store must not see the API key.
    with httpx.Client(timeout=_STORE_TIMEOUT) as client:
        try:
            patiently(lambda: _store_once(client, place, file, sent), seconds=_STORE_SECONDS)
        except (httpx.TransportError, Refused) as error:
            where = urlsplit(place["url"]).netloc
            raise NotSent(f"the object store at {where} did not take {file.name}: {error}") from error


def _store_once(client: "httpx.Client", place: Mapping[str, Any], file: LocalFile, sent: Sent) -> None:
    if place["method"] == "POST":
        form: Any = _Readable(file, sent)
        answer = client.post(place["url"], data=place["fields"], files={"file": (file.name, form, "text/csv")})
    else:
        length = {"Content-Length": str(file.size)}
        answer = client.put(place["url"], content=file.blocks(sent), headers=length)
    if answer.is_error:
        raise Refused(answer.status_code, _reason(answer.text) or answer.reason_phrase)


def _reason(xml: str) -> str:
    """The code and message in an S3 error, which is a small XML document; nothing if it is something else."""
    found = (xml.partition(f"<{tag}>")[2].partition(f"</{tag}>") for tag in ("Code", "Message"))
    return ": ".join(text.strip() for text, end, _ in found if end)
