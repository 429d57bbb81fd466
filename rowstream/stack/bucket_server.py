"""localbucket, but for three things: a large body goes to the disk as it comes, parts are listed, answers do not wait.

The package reads the body of a PUT whole into memory before it writes it, and the browser and the command send a file
of any size as one PUT. It takes objects in parts, and does not say which parts are there (ListParts), nor which objects
were begun (ListMultipartUploads). This goes by names that the package keeps to itself; a version that changes them is
noticed by the tests of the store, which run against this program.
"""

import hashlib
import json
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET

import localbucket

_BLOCK = localbucket.BLOCK_SIZE
_AT_ONCE = 8 * _BLOCK  # as large as a usual part of an object; small bodies go the package's own way
_MOST_ON_A_PAGE = 1_000


class Handler(localbucket.S3Handler):  # type: ignore[misc]  # the package has no types
    """Takes requests as localbucket does; holds at most some megabytes for each."""

    # An answer's head and body are two writes: with Nagle's algorithm the body waited for 40 ms until the client, which
    # has nothing to say, acknowledged the head.
    disable_nagle_algorithm = True

    def _put(self, bucket: str, key: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length <= _AT_ONCE or not self._is_plain(key):
            super()._put(bucket, key)
            return
        if "uploadId" in self.query:
            self._check_query("UploadPart", {"uploadId", "partNumber"})
            etag = self._store_part(bucket, key, lambda file: receive(self.rfile, file, length))
        else:
            self._check_query("PutObject")
            etag = self._write_object(bucket, key, lambda file: receive(self.rfile, file, length))
        self._send(HTTPStatus.OK, headers={"ETag": f'"{etag}"'})

    def _get_request(self, bucket: str, key: str) -> None:
        if key and "uploadId" in self.query:
            self._check_query("ListParts", {"uploadId", "part-number-marker", "max-parts"})
            self._list_parts(bucket, key)
        elif bucket and not key and "uploads" in self.query:
            self._check_query("ListMultipartUploads", {"uploads", "prefix", "encoding-type"})
            self._list_begun(bucket)
        else:
            super()._get_request(bucket, key)

    def _list_parts(self, bucket: str, key: str) -> None:
        folder = self._upload_dir(bucket, key)
        after, limit = self._number("part-number-marker", 0), self._number("max-parts", _MOST_ON_A_PAGE)
        parts = sorted(path for path in folder.iterdir() if path.name.isdigit() and int(path.name) > after)
        page = parts[: min(limit, _MOST_ON_A_PAGE)]
        root = ET.Element("ListPartsResult", xmlns=localbucket.S3_NAMESPACE)
        _say(root, Bucket=bucket, Key=key, UploadId=folder.name, IsTruncated=str(len(page) < len(parts)).lower())
        for path in page:
            found = path.stat()
            etag, modified = localbucket.object_etag(path), localbucket.iso_timestamp(found.st_mtime)
            part = ET.SubElement(root, "Part")
            _say(part, PartNumber=str(int(path.name)), Size=str(found.st_size), ETag=f'"{etag}"', LastModified=modified)
        self._send_xml(root)

    def _list_begun(self, bucket: str) -> None:
        self._bucket_dir(bucket)
        root = ET.Element("ListMultipartUploadsResult", xmlns=localbucket.S3_NAMESPACE)
        _say(root, Bucket=bucket, IsTruncated="false")
        for about in sorted((self.data_root / localbucket.UPLOADS_DIR).glob(f"*/{localbucket.UPLOAD_META}")):
            said = _read(about)
            if said.get("bucket") == bucket and said["key"].startswith(self.query.get("prefix", "")):
                begun = localbucket.iso_timestamp(about.stat().st_mtime)
                one = ET.SubElement(root, "Upload")
                _say(one, Key=said["key"], UploadId=about.parent.name, Initiated=begun)
        self._send_xml(root)

    def _number(self, name: str, default: int) -> int:
        said = self.query.get(name, "")
        return int(said) if said.isascii() and said.isdigit() else default

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
        return bool(key) and not framed


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


def _read(about: Path) -> dict[str, str]:
    """What was noted when an object was begun; nothing if it was put together or dropped just now."""
    try:
        said: dict[str, str] = json.loads(about.read_text())
    except (OSError, ValueError):
        return {}
    return said


def _say(parent: ET.Element, **facts: str) -> None:
    for name, text in facts.items():
        localbucket.sub_element(parent, name, text)


if __name__ == "__main__":
    localbucket.S3Handler = Handler  # the name that its `main` serves by
    localbucket.main()
