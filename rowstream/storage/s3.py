"""S3 and what speaks like it: look, presign, stream."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, BinaryIO

import boto3
import tenacity
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from rowstream.runtime.logging import get_logger
from rowstream.runtime.settings import StorageSettings
from rowstream.storage.lifecycle import Lifecycle
from rowstream.storage.parts import Parts
from rowstream.storage.probe import Probe
from rowstream.storage.s3_errors import errors_of_reading, is_wordless, named_errors
from rowstream.storage.store import ObjectChanged, ObjectInfo, ObjectMissing, PresignedUpload, StoreUnavailable

log = get_logger(__name__)

_READ_TRIES = 5
_PART_BYTES = 8 * 2**20
_MOST_PARTS = 10_000  # of one object, as S3 has it
_ONE_PART_AT_A_TIME = TransferConfig(
    multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False
)
_PATIENT: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"mode": "standard", "max_attempts": 3},
}
_IMPATIENT: dict[str, Any] = {"connect_timeout": 3, "read_timeout": 5, "retries": {"total_max_attempts": 1}}
LARGEST_PUT = _PART_BYTES * _MOST_PARTS


class S3Store:
    """The object store; safe to use from several threads.

    `parts` are the calls about objects sent in parts, `lifecycle` those about what becomes of objects with time, and
    `probe` asks whether the store is there at all.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._presigned_post = settings.presigned_post
        self._client = _client(settings, _PATIENT)
        self.parts = Parts(self._client)
        self.lifecycle = Lifecycle(self._client)

    @cached_property
    def probe(self) -> Probe:
        """Made when it is needed: a client of its own takes some megabytes."""
        return Probe(_client(self._settings, _IMPATIENT))

    def look(self, bucket: str, key: str) -> ObjectInfo:
        """Entity tag, size and version of an object.

        Raises:
            ObjectMissing: there is none.
            RequestRefused: there can be none.
            StoreUnavailable: the store does not answer.
        """
        with errors_of_reading(bucket, key):
            try:
                return _info(self._client.head_object(Bucket=bucket, Key=key))
            except ClientError as error:
                if is_wordless(error):
                    self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()  # says why
                raise

    def open(self, bucket: str, key: str, *, etag: str, size: int) -> "ObjectStream":
        """Stream the object, if it is still the one with this entity tag, which has `size` bytes.

        Raises:
            ObjectMissing, ObjectChanged, RequestRefused, StoreUnavailable: as the names say.
        """
        return ObjectStream(self._client, bucket, key, ObjectInfo(etag, size))

    def peek(self, bucket: str, key: str, size: int) -> tuple[ObjectInfo, bytes]:
        """Entity tag, size and version of an object, and its first bytes, at most `size`; in one request.

        Raises:
            ObjectMissing: there is none.
            RequestRefused: there can be none.
            StoreUnavailable: the store does not answer.
        """
        try:
            with errors_of_reading(bucket, key):
                answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{size - 1}")
                start: bytes = answer["Body"].read()
        except ObjectChanged:  # it has no such bytes: it is empty
            return self.look(bucket, key), b""
        whole = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(start)
        if len(start) != min(size, whole):
            raise StoreUnavailable(f"the answer for s3://{bucket}/{key} was cut")
        return ObjectInfo(answer["ETag"].strip('"'), whole, answer.get("VersionId")), start

    def put_bytes(self, bucket: str, key: str, body: bytes | bytearray) -> ObjectInfo:
        """Store what is held in memory anyway, in one request."""
        with named_errors(bucket, key):
            self._client.put_object(Bucket=bucket, Key=key, Body=body)
        return self.look(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, if it is there.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            with named_errors(bucket, key):
                self._client.delete_object(Bucket=bucket, Key=key)
        except ObjectMissing:
            pass

    def keys_under(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin so.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        with named_errors(bucket, prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (found["Key"] for found in page.get("Contents", ()))

    def put(self, bucket: str, key: str, body: BinaryIO) -> ObjectInfo:
        """Store a file of `LARGEST_PUT` bytes at most, in parts when it is large, of which one is held in memory.

        Raises:
            StoreUnavailable: the store does not answer. What reading `body` raises comes through; nothing is stored.
        """
        with named_errors(bucket, key):
            self._client.upload_fileobj(body, bucket, key, Config=_ONE_PART_AT_A_TIME)
        return self.look(bucket, key)

    def presign(self, bucket: str, key: str, *, size: int, seconds: int) -> PresignedUpload:
        """Let the holder store one object of `size` bytes under this key within `seconds`.

        With POST the store itself refuses another size; with PUT it is checked at confirmation.
        """
        if self._presigned_post:
            post = self._client.generate_presigned_post(
                bucket, key, Conditions=[["content-length-range", size, size]], ExpiresIn=seconds
            )
            return PresignedUpload("POST", post["url"], post["fields"])
        url = self._client.generate_presigned_url(
            "put_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )
        return PresignedUpload("PUT", url)

    def bucket_exists(self, bucket: str) -> bool:
        """Whether the bucket is there and may be used.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            with named_errors(bucket, ""):
                self._client.head_bucket(Bucket=bucket)
        except ObjectMissing:
            return False
        return True

    def make_bucket(self, bucket: str) -> None:
        """Make the bucket, unless it is there.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if not self.bucket_exists(bucket):
            with named_errors(bucket, ""):
                self._client.create_bucket(Bucket=bucket)


def _client(settings: StorageSettings, patience: dict[str, Any]) -> Any:
    secret = settings.secret_access_key
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **patience,
        ),
    )


class ObjectStream:
    """The bytes of one object in order; an interrupted read goes on where it stopped.

    `read(n)` returns at most n bytes and b"" only at the object's end, never at a cut connection's.
    """

    def __init__(self, client: Any, bucket: str, key: str, info: ObjectInfo) -> None:
        self._client, self._bucket, self._key, self._info = client, bucket, key, info
        self._position = 0
        self._body: Any = None
        self._open()

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`.

        Raises:
            ObjectChanged: the object was replaced meanwhile.
            StoreUnavailable: the store did not answer, five times in a row.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(
                (StoreUnavailable, BotoCoreError, HTTPClientError, HTTPError, OSError)
            ),
            stop=tenacity.stop_after_attempt(_READ_TRIES),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5),
            before_sleep=self._interrupted,
        )
        try:
            return retrying(self._read_once, size)
        except tenacity.RetryError as error:
            raise StoreUnavailable(
                f"reading s3://{self._bucket}/{self._key} was cut {_READ_TRIES} times at byte {self._position}"
            ) from error

    def close(self) -> None:
        """Let go of the connection."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _read_once(self, size: int) -> bytes:
        if self._position >= self._info.size:
            return b""
        if self._body is None:
            self._open()
        data: bytes = self._body.read(size)
        if not data:
            raise StoreUnavailable("the answer ended before the object did")
        self._position += len(data)
        return data

    def _interrupted(self, _: object) -> None:
        log.warning("reading an object was interrupted", position=self._position)
        self.close()

    def _open(self) -> None:
        ranged = {"Range": f"bytes={self._position}-"} if self._position else {}
        etag = self._info.etag
        with errors_of_reading(self._bucket, self._key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key, IfMatch=f'"{etag}"', **ranged)
        # Some stores ignore If-Match, so the answer's own tag decides. A connection that is cut within the headers
        # gives an answer all the same, with the last of them cut and those behind it missing.
        found = answer.get("ETag", "").strip('"')
        if found == etag and answer.get("ContentLength") == self._info.size - self._position:
            self._body = answer["Body"]
            return
        answer["Body"].close()
        if not etag.startswith(found):
            raise ObjectChanged(f"s3://{self._bucket}/{self._key} was replaced after it was confirmed")
        raise StoreUnavailable(f"the answer for s3://{self._bucket}/{self._key} was cut")


def _info(answer: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(answer["ETag"].strip('"'), answer["ContentLength"], answer.get("VersionId"))
