from collections.abc import Callable

import httpx
import pytest

from rowstream.cli.client import ApiError
from rowstream.cli.patience import Refused, may_pass, patiently


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("cut"), True),
        (httpx.LocalProtocolError("too much data"), False),
        (httpx.UnsupportedProtocol("ftp"), False),
        (ApiError(503, {}), True),
        (ApiError(429, {}), True),
        (ApiError(500, {}), False),
        (ApiError(409, {}), False),
        (Refused(504, "slow"), True),
        (Refused(403, "no"), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_in_a_moment(error: Exception, passes: bool) -> None:  # noqa: FBT001 - pytest calls it so
    assert may_pass(error) == passes


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = iter(range(times))

    def request() -> str:
        if next(left, None) is not None:
            raise error
        return "answer"

    return request


def test_a_request_is_made_again_until_it_succeeds() -> None:
    waited = []
    request = failing(2, httpx.ConnectError("refused"))
    assert patiently(request, seconds=10, waiting=lambda: waited.append(1)) == "answer"
    assert len(waited) == 2


def test_patience_ends_with_the_last_failure() -> None:
    with pytest.raises(httpx.ConnectError, match="refused"):
        patiently(failing(1_000, httpx.ConnectError("refused")), seconds=0.3)


def test_what_will_not_pass_is_raised_at_once() -> None:
    with pytest.raises(ApiError, match="gone"):
        patiently(failing(1, ApiError(404, {"detail": "gone"})), seconds=10)
