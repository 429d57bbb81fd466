import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rowstream.errors import Poison, Retryable
from rowstream.storage.s3_errors import errors_of_reading, is_wordless, named_errors
from rowstream.storage.store import ObjectChanged, ObjectMissing, RequestRefused, StoreUnavailable


def said(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "what the store says"}}, "GetObject")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoSuchKey", ObjectMissing),
        ("404", ObjectMissing),
        ("PreconditionFailed", ObjectChanged),
        ("InvalidArgument", RequestRefused),
        ("InvalidRequest", RequestRefused),
        ("KeyTooLongError", RequestRefused),
        ("XMinioInvalidObjectName", RequestRefused),
    ],
)
def test_what_is_said_of_the_object_itself_is_not_tried_again(code: str, kind: type[Poison]) -> None:
    with pytest.raises(kind, match="s3://bucket/key"), errors_of_reading("bucket", "key"):
        raise said(code)


@pytest.mark.parametrize(
    "code",
    [
        "400",
        "403",
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InternalError",
        "InvalidAccessKeyId",
        "InvalidToken",
        "OperationAborted",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "ServiceUnavailable",
        "SignatureDoesNotMatch",
        "SlowDown",
        "TooManyRequests",
        "",
    ],
)
def test_what_passes_or_an_operator_mends_is_tried_again(code: str) -> None:
    with pytest.raises(StoreUnavailable, match=f"refused s3://bucket/key: {code}"), errors_of_reading("bucket", "key"):
        raise said(code)


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"), errors_of_reading("bucket", "key"):
        raise EndpointConnectionError(endpoint_url="http://store")


def test_of_what_we_store_ourselves_no_refusal_is_the_callers_fault() -> None:
    with pytest.raises(Retryable), named_errors("bucket", "key"):
        raise said("InvalidRequest")


def test_only_a_refusal_without_a_word_is_wordless() -> None:
    assert is_wordless(said("400"))
    assert not any(map(is_wordless, (said("404"), said("403"), said("InvalidArgument"))))
