"""Doing a request again while the network or a server is only away for a moment."""

import http
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rowstream.cli.client import ApiError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_FOR_A_MOMENT = frozenset(
    {
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.TOO_MANY_REQUESTS,
        http.HTTPStatus.BAD_GATEWAY,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
        http.HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Refused(Exception):
    """A server other than the API said no; `status` is the HTTP status and the message its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{reason} (HTTP {status})")
        self.status = status


def refusal(answer: "httpx.Response") -> Refused:
    """Why an object store said no: the code and message of its error, which is a small XML document."""
    found = (answer.text.partition(f"<{tag}>")[2].partition(f"</{tag}>") for tag in ("Code", "Message"))
    reason = ": ".join(text.strip() for text, end, _ in found if end)
    return Refused(answer.status_code, reason or answer.reason_phrase)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    import httpx  # noqa: PLC0415 - only commands that talk to a system pay for it

    if isinstance(error, ApiError | Refused):
        return error.status in _FOR_A_MOMENT
    return isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError)


def patiently(request: Callable[[], T], *, seconds: float, waiting: Callable[[], None] = lambda: None) -> T:
    """Make a request, again and again for so many seconds while it fails for reasons that may pass.

    Args:
        request: must be one that does no harm when done twice.
        seconds: how long to go on; the last failure is raised then, and any that will not pass is at once.
        waiting: called before each further try.
    """
    import tenacity  # noqa: PLC0415 - as above

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=2, jitter=0.2),
        before_sleep=lambda _: waiting(),
        reraise=True,
    )
    return again(request)
