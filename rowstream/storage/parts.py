"""Objects that are sent in parts: S3's multipart upload.

One is begun, its parts are sent in any order and as often as it takes, and at the end it is put together, or dropped.
The store keeps the parts until then, and somebody pays for them: `left_over` finds those that nobody will end.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rowstream.storage.s3_errors import named_errors
from rowstream.storage.store import Begun, Part, PartsGone

MOST_PARTS = 10_000
LEAST_PART_BYTES = 5 * 2**20
MOST_PART_BYTES = 5 * 2**30

_USUAL_PART_BYTES = 8 * 2**20
_USUAL_PARTS = 2_500


def part_bytes_for(size: int) -> int:
    """How large the parts of an object of so many bytes best are: few enough, and small enough to send again.

    8 MiB, doubled until 2,500 of them are enough; never more than a store takes.
    """
    part_bytes = _USUAL_PART_BYTES
    while part_bytes * _USUAL_PARTS < size:
        part_bytes *= 2
    return min(part_bytes, MOST_PART_BYTES)


def count_of(size: int, part_bytes: int) -> int:
    """How many parts an object of so many bytes has; an empty one has one."""
    return max(1, -(-size // part_bytes))


def size_of(number: int, size: int, part_bytes: int) -> int:
    """How many bytes a part has, the first being number 1: all have `part_bytes`, but for the last."""
    return min(part_bytes, size - (number - 1) * part_bytes)


class Parts:
    """The calls about objects that are sent in parts; safe to use from several threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def begin(self, bucket: str, key: str) -> str:
        """Let an object be sent in parts; returns the store's id of that.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        with named_errors(bucket, key):
            return str(self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])

    def sign(self, begun: Begun, number: int, *, size: int, seconds: int) -> str:
        """An address to which, within `seconds`, a part of exactly `size` bytes may be PUT."""
        url: str = self._client.generate_presigned_url(
            "upload_part", Params={**_names(begun), "PartNumber": number, "ContentLength": size}, ExpiresIn=seconds
        )
        return url

    def send(self, begun: Begun, number: int, body: bytes | bytearray) -> Part:
        """Store a part; one of the same number that was sent before is replaced.

        Raises:
            PartsGone: it was ended or dropped meanwhile.
            StoreUnavailable: the store does not answer.
        """
        with named_errors(begun.bucket, begun.key):
            answer = self._client.upload_part(**_names(begun), PartNumber=number, Body=body)
        return Part(number=number, size=len(body), etag=answer["ETag"].strip('"'))

    def page(self, begun: Begun, *, after: int = 0, limit: int = 1_000) -> Sequence[Part]:
        """The parts that are there, by number, at most `limit` (1,000 is what stores give), those after a number.

        Raises:
            PartsGone, StoreUnavailable: as for `send`.
        """
        with named_errors(begun.bucket, begun.key):
            answer = self._client.list_parts(**_names(begun), PartNumberMarker=after, MaxParts=limit)
        return [
            Part(number=part["PartNumber"], size=part["Size"], etag=part["ETag"].strip('"'))
            for part in answer.get("Parts", ())
        ]

    def there(self, begun: Begun) -> Iterator[Part]:
        """All parts that are there, by number; raises as `page` does."""
        page = self.page(begun)
        while page:
            yield from page
            page = self.page(begun, after=page[-1].number)

    def complete(self, begun: Begun, parts: Sequence[Part]) -> None:
        """Put the object together from these parts, which are by number.

        Raises:
            PartsGone: it was put together or dropped before.
            PartsRefused: the parts are not those that the store has, or too small.
            StoreUnavailable: the store does not answer; it may do it all the same.
        """
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        with named_errors(begun.bucket, begun.key):
            self._client.complete_multipart_upload(**_names(begun), MultipartUpload={"Parts": listed})

    def drop(self, begun: Begun) -> None:
        """Remove the parts, and let no more be sent; nothing happens if that was done before.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            with named_errors(begun.bucket, begun.key):
                self._client.abort_multipart_upload(**_names(begun))
        except PartsGone:
            pass

    def left_over(self, bucket: str, prefix: str, *, before: datetime) -> Iterator[Begun]:
        """What was begun before a moment under a prefix and neither put together nor dropped since.

        Raises:
            StoreUnavailable: the store does not answer, or cannot say.
        """
        with named_errors(bucket, prefix):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
                for one in page.get("Uploads", ()):
                    if one["Initiated"] < before:
                        yield Begun(bucket=bucket, key=one["Key"], id=one["UploadId"])


def _names(begun: Begun) -> dict[str, str]:
    return {"Bucket": begun.bucket, "Key": begun.key, "UploadId": begun.id}
