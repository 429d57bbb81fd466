"""A sign of life of an object store: one short question, which any store answers that is there."""

from typing import Any

from botocore.exceptions import ClientError

from rowstream.storage.s3_errors import code_of, named_errors
from rowstream.storage.store import ObjectMissing, StoreUnavailable

_REFUSALS = range(300, 500)
_LATER = {"408", "429", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}


def is_refusal(status: int, code: str) -> bool:
    """Whether a store that gave this answer is there and does not want to, rather than cannot for now; pure.

    Args:
        status: Of HTTP.
        code: S3's own, or the status once more where an answer has no body.
    """
    return status in _REFUSALS and str(status) not in _LATER and code not in _LATER


def was_refused(error: StoreUnavailable) -> bool:
    """Whether the store did answer, and refused: credentials or what they allow are wrong, waiting mends nothing."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return False
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return is_refusal(int(status), code_of(cause))


class Probe:
    """Asks a store whether it is there; safe to use from several threads.

    The client that it is made with asks once and has little patience.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, bucket: str) -> None:
        """Wait for an answer about the bucket; also that there is none, or that it is not for us, is a sign of life.

        Raises:
            StoreUnavailable: the store does not answer, or says to try again.
        """
        try:
            with named_errors(bucket, ""):
                self._client.head_bucket(Bucket=bucket)
        except ObjectMissing:
            return
        except StoreUnavailable as error:
            if not was_refused(error):
                raise
