"""What the errors of an S3 client mean to whoever called."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from rowstream.storage.store import (
    ObjectChanged,
    ObjectMissing,
    PartsGone,
    PartsRefused,
    RequestRefused,
    StoreUnavailable,
)

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
# Some stores ignore If-Match: an object that has no such part as is asked for was replaced as well.
_CHANGED = {"412", "PreconditionFailed", "416", "InvalidRange"}
_REFUSED = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"}
# All of status 400, which is also that of a wrong clock, of a token that has ended and of a request that came too
# slowly: those are mended or tried again, so only what is named here is refused for good. `XMinio...` are MinIO's.
_WRONG = {
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidObjectName",
    "InvalidRequest",
    "InvalidURI",
    "KeyTooLong",
    "KeyTooLongError",
    "XMinioInvalidObjectName",
    "XMinioInvalidResourceName",
}
_WORDLESS = "400"


@contextmanager
def named_errors(bucket: str, key: str) -> Iterator[None]:
    """Raise what the names of `rowstream.storage.store` say, in place of the client's own errors."""
    where = f"s3://{bucket}/{key}"
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in _MISSING:
            raise ObjectMissing(f"there is no {where}") from error
        if code in _CHANGED:
            raise ObjectChanged(f"{where} was replaced after it was confirmed") from error
        if code == "NoSuchUpload":
            raise PartsGone(f"no parts of {where} are being sent") from error
        if code in _REFUSED:
            raise PartsRefused(f"the object store refused to put {where} together: {code}") from error
        raise StoreUnavailable(f"the object store refused {where}: {code}") from error
    except (BotoCoreError, ValueError) as error:  # an answer that was cut may not even be readable
        raise StoreUnavailable(f"the object store does not answer for {where}: {type(error).__name__}") from error


@contextmanager
def errors_of_reading(bucket: str, key: str) -> Iterator[None]:
    """As `named_errors`, where others may have named the object: a key that no object has is refused for good.

    Of what is stored under names of our own the same answers are about how the store is set up: an operator mends that,
    and it is tried again until then.
    """
    try:
        with named_errors(bucket, key):
            yield
    except StoreUnavailable as error:
        if isinstance(error.__cause__, ClientError) and (code := code_of(error.__cause__)) in _WRONG:
            detail = f"the object store does not take the name s3://{bucket}/{key}: {code}; name the object otherwise"
            raise RequestRefused(detail) from error.__cause__
        raise


def is_wordless(error: ClientError) -> bool:
    """Whether a store found a request wrong, and did not say why: an answer to HEAD has no words."""
    return code_of(error) == _WORDLESS


def code_of(error: ClientError) -> str:
    """S3's own code, or the status once more where an answer has no body."""
    return str(error.response.get("Error", {}).get("Code", ""))
