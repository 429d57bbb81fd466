"""The file in a request's body: as it is, or the one file of a form; read piece by piece."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette import status
from starlette.requests import ClientDisconnect

from ingest_gateway.api import checks
from ingest_gateway.api.form import FileInForm, NoForm
from ingest_gateway.filenames import clean_filename
from ingest_gateway.problems import Problem
from rowstream.runtime.metrics import REFUSED

FORM = "multipart/form-data"
_WAY_OUT = "send a larger one to a presigned URL, or in parts"


class FileBody:
    """The file in a request's body, piece by piece, as it is or out of a form; at most `limit` bytes of it."""

    def __init__(self, request: Request, filename: str | None, limit: int) -> None:
        self._request, self._given, self._limit = request, filename, limit
        self._blocks = request.stream()
        self._form: FileInForm | None = None
        self._first: list[bytes] = []
        self._digest = hashlib.sha256()
        self.filename = ""
        self.size = 0

    @property
    def sha256(self) -> bytes:
        """Of what was read so far."""
        return self._digest.digest()

    async def begin(self) -> None:
        """Read as far as it takes to know the file's name.

        Raises:
            Problem: there is no name, or no file; or the headers say that it is too large.
        """
        content_type = self._request.headers.get("content-type", "")
        if content_type.lower().startswith(FORM):
            with _told():
                self._form = FileInForm(content_type)
                while not self._form.found and (block := await anext(self._blocks, b"")):
                    self._first += self._form.take(block)
                if not self._form.found:
                    self._form.end()  # says that there is no file, which is more than that it has no name
        else:
            length = self._request.headers.get("content-length", "")
            if length.isascii() and length.isdigit():
                checks.check_size(int(length), self._limit, _WAY_OUT)
        self.filename = _clean(self._given or (self._form and self._form.filename) or "")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The file's bytes.

        Raises:
            Problem: the body breaks off, is no form, or the file in it is too large.
        """
        with _told():
            for piece in self._first:
                yield self._counted(piece)
            async for block in self._blocks:
                for piece in [block] if self._form is None else self._form.take(block):
                    yield self._counted(piece)
            if self._form is not None:
                self._form.end()

    def _counted(self, piece: bytes) -> bytes:
        self.size += len(piece)
        checks.check_size(self.size, self._limit, _WAY_OUT)
        self._digest.update(piece)
        return piece


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a body, as a problem."""
    try:
        yield
    except NoForm as error:
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "not_a_form", f"{error}; send one file in it") from error
    except ClientDisconnect as error:
        REFUSED.labels("body_incomplete").inc()
        detail = "the body broke off before its end; nothing of it was taken, send it again"
        raise Problem(status.HTTP_400_BAD_REQUEST, "body_incomplete", detail) from error


def _clean(name: str) -> str:
    try:
        return clean_filename(name)
    except ValueError as error:
        fault = {"field": "query.filename", "message": str(error)}
        detail = f"query.filename: {error}"
        raise Problem(status.HTTP_422_UNPROCESSABLE_CONTENT, "invalid_request", detail, errors=[fault]) from error
