"""Sends a file to the system, block by block from the disk: ask where to, send it there, confirm it.

A large one goes in parts, and what was begun and broke off is gone on with.
"""

import http
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from rowstream.cli.begun import Begun, state_folder
from rowstream.cli.client import ApiError
from rowstream.cli.local_file import LocalFile, NotSent, Sent
from rowstream.cli.options import WrongUsage
from rowstream.cli.parts import send_missing
from rowstream.cli.patience import Refused, patiently, refusal

if TYPE_CHECKING:
    import httpx

UPLOADS = "/api/v1/batch_uploads"
PARTS_ABOVE = 64_000_000
_API_SECONDS, _STORE_SECONDS = 4.0, 20.0
_STORE_TIMEOUT = 60.0
_ENDED = http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT, http.HTTPStatus.UNPROCESSABLE_ENTITY
"""Answers that mean that an upload cannot be gone on with."""
_NOT_OURS = 400, 401, 403, 413, 422
"""Answers to the first request that mean that the command, its key or its file is not right."""


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a file was sent in parts; the same command goes on from there."""


def send(
    client: "httpx.Client",
    file: LocalFile,
    record_type: str,
    sent: Sent,
    *,
    parts_above: int = PARTS_ABOVE,
    resume: bool = True,
) -> Mapping[str, Any]:
    """Upload a file; from its return on the system answers for it.

    A request that fails for a moment is made again, under one Idempotency-Key, so it never makes a second upload.

    Args:
        client: of the API.
        file: what to send.
        record_type: what each of its records is.
        sent: told of the progress.
        parts_above: a file with more bytes than this is sent in parts; and a smaller one too that was begun so.
        resume: go on with an upload of this file in parts that broke off, if there is one.

    Returns:
        The upload as the API shows it.

    Raises:
        WrongUsage: the API does not take such a file, or such a record type.
        NotSent: the object store did not take the file.
        ApiError: the API said no to something else.
        Interrupted: by Ctrl-C, while a file was sent in parts that can be gone on with.
    """
    wanted = {"record_type": record_type, "filename": file.name, "size_bytes": file.size}
    begun = Begun({"record_type": record_type, "gateway": str(client.base_url), **file.identity()}, state_folder())
    before = begun.key() if resume else None
    if before or file.size > parts_above:
        return _send_in_parts(client, file, wanted, sent, begun, before)
    key = {"Idempotency-Key": str(uuid4())}
    with _wrong_usage():
        place = _post(client, f"{UPLOADS}/presigned_url", wanted, key)
    _store(place, file, sent)
    return _post(client, UPLOADS, {"upload_id": place["upload_id"]}, {})


def _send_in_parts(
    client: "httpx.Client", file: LocalFile, wanted: Mapping[str, Any], sent: Sent, begun: Begun, key: str | None
) -> Mapping[str, Any]:
    """Send it in parts: go on with what was begun with the key, if there is one and it can be gone on with."""
    remembered = key is not None
    try:
        place = _begun_before(client, wanted, key) if key else None
        if place is None:
            key = str(uuid4())
            remembered = begun.remember(key)
            with _wrong_usage():
                place = _post(client, f"{UPLOADS}/multipart", wanted, {"Idempotency-Key": key})
        found = place if "status" in place else _completed(client, file, place, sent)
    except KeyboardInterrupt:
        if remembered:
            raise Interrupted from None
        raise
    except ApiError as error:
        if error.status in _ENDED:
            begun.forget()
        raise
    begun.forget()
    return found


def _begun_before(client: "httpx.Client", wanted: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The upload in parts that was begun with this key: how to go on with it, or itself if it was accepted meanwhile.

    None if it was given up, or the key was used for something else: then another one is to be begun.
    """
    try:
        return _post(client, f"{UPLOADS}/multipart", wanted, {"Idempotency-Key": key})
    except ApiError as error:
        if error.status not in _ENDED:
            raise
        upload_id = error.problem.get("upload_id")
    if upload_id is None:
        return None
    path = f"{UPLOADS}/{upload_id}"
    upload: dict[str, Any] = patiently(lambda: client.get(path).json(), seconds=_API_SECONDS)
    return upload if upload["accepted_at"] else None


def _completed(client: "httpx.Client", file: LocalFile, place: Mapping[str, Any], sent: Sent) -> Mapping[str, Any]:
    upload = f"{UPLOADS}/{place['upload_id']}"
    send_missing(client, file, upload, place["part_bytes"], sent)
    return _post(client, f"{upload}/complete", None, {})


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Raise WrongUsage where the API's answer to a first request means that the command is not right."""
    try:
        yield
    except ApiError as error:
        if error.status in _NOT_OURS:
            raise WrongUsage(str(error)) from error
        raise


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
        raise refusal(answer)
