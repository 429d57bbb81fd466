"""What the errors of an S3 client mean to whoever called."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from rowstream.storage.store import ObjectChanged, ObjectMissing, PartsGone, PartsRefused, StoreUnavailable

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
# Some stores ignore If-Match: an object that has no such part as is asked for was replaced as well.
_CHANGED = {"412", "PreconditionFailed", "416", "InvalidRange"}
_REFUSED = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"}


@contextmanager
def named_errors(bucket: str, key: str) -> Iterator[None]:
    """Raise what the names of `rowstream.storage.store` say, in place of the client's own errors."""
    where = f"s3://{bucket}/{key}"
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
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
