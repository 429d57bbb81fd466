"""Which answers of a store say that it is there."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rowstream.storage.probe import is_refusal, was_refused
from rowstream.storage.s3_errors import named_errors
from rowstream.storage.store import StoreUnavailable


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [
        (403, "403", True),
        (403, "SignatureDoesNotMatch", True),
        (403, "InvalidAccessKeyId", True),
        (403, "RequestTimeTooSkewed", True),
        (400, "ExpiredToken", True),
        (401, "401", True),
        (301, "PermanentRedirect", True),
        (400, "RequestTimeout", False),
        (408, "408", False),
        (429, "429", False),
        (429, "TooManyRequests", False),
        (500, "InternalError", False),
        (502, "502", False),
        (503, "SlowDown", False),
        (503, "503", False),
        (200, "InternalError", False),
        (0, "", False),
    ],
)
def test_a_refusal_is_told_from_a_plea_for_patience(status: int, code: str, *, refused: bool) -> None:
    assert is_refusal(status, code) is refused
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StoreUnavailable) as unavailable, named_errors("b", "k"):
        raise ClientError(answer, "GetObject")
    assert was_refused(unavailable.value) is refused


def test_silence_is_no_refusal() -> None:
    with pytest.raises(StoreUnavailable) as unavailable, named_errors("b", "k"):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    assert not was_refused(unavailable.value)
    assert not was_refused(StoreUnavailable("the answer ended before the object did"))
