"""localbucket, but for one thing: a large object is written to the disk as it comes.

The package reads the body of a PUT whole into memory before it writes it, and the browser and the command send a file
of any size as one PUT. This goes by names that the package keeps to itself; a version that changes them is noticed by
the tests of the store, which run against this program.
"""

import hashlib
from http import HTTPStatus
from typing import BinaryIO

import localbucket

_BLOCK = localbucket.BLOCK_SIZE
_AT_ONCE = 8 * _BLOCK  # as large as a part of a multipart upload; small bodies go the package's own way


class Handler(localbucket.S3Handler):  # type: ignore[misc]  # the package has no types
    """Takes requests as localbucket does; holds at most some megabytes for each."""

    def _put(self, bucket: str, key: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length <= _AT_ONCE or not self._is_plain(key):
            super()._put(bucket, key)
            return
        self._check_query("PutObject")
        etag = self._write_object(bucket, key, lambda file: receive(self.rfile, file, length))
        self._send(HTTPStatus.OK, headers={"ETag": f'"{etag}"'})

    def _is_plain(self, key: str) -> bool:
        """Whether it is one object whose bytes are the body's, as they are."""
        framed = any(
            mark in self.headers.get(name, "").lower()
            for name, mark in (
                ("Transfer-Encoding", "chunked"),
                ("Content-Encoding", "aws-chunked"),
                ("x-amz-content-sha256", "streaming-"),
                ("x-amz-copy-source", ""),
            )
            if name in self.headers
        )
        return bool(key) and not framed and not self.query.keys() & {"uploadId", "partNumber"}


def receive(source: BinaryIO, target: BinaryIO, length: int) -> str:
    """Copy so many bytes, block by block; returns their MD5 in hexadecimal digits, which is an object's entity tag.

    Raises:
        S3Error: there were fewer; nothing of them counts.
    """
    digest = hashlib.md5(usedforsecurity=False)
    while length:
        block = source.read(min(length, _BLOCK))
        if not block:
            raise localbucket.S3Error(HTTPStatus.BAD_REQUEST, "IncompleteBody", "The body ended before its length.")
        target.write(block)
        digest.update(block)
        length -= len(block)
    return digest.hexdigest()


if __name__ == "__main__":
    localbucket.S3Handler = Handler  # the name that its `main` serves by
    localbucket.main()
