"""What the system says of uploads: one, the newest, one until it ends, what was rejected."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from rowstream.cli.figures import ENDED
from rowstream.cli.patience import patiently
from rowstream.cli.sending import UPLOADS
from rowstream.errors import RowstreamError

if TYPE_CHECKING:
    import httpx

Upload = Mapping[str, Any]
Rejection = Mapping[str, Any]
DeadLetter = Mapping[str, Any]

_DEAD_LETTERS = "/api/v1/dead_letters"
_PATIENCE_SECONDS = 4.0
_LONG_PATIENCE_SECONDS = 120.0
_OFTEN, _SELDOM = 0.15, 1.0
_OF_WHAT_PASSED = 0.05  # what is shown of a long upload may be older than of a short one
_STREAM_TIMEOUT = 120.0


class CutOff(RowstreamError):
    """The answer broke off in the middle."""


def upload(client: "httpx.Client", upload_id: str, *, seconds: float = _PATIENCE_SECONDS) -> Upload:
    """One upload; ApiError 404 if there is none. A system that is away for so many `seconds` is waited for."""
    found: Upload = patiently(lambda: client.get(_path(upload_id)).json(), seconds=seconds)
    return found


def uploads(client: "httpx.Client", limit: int) -> Mapping[str, Any]:
    """The newest uploads, at most `limit` (200), as `{items, next_cursor}`."""
    page: Mapping[str, Any] = patiently(
        lambda: client.get(UPLOADS, params={"limit": limit}).json(), seconds=_PATIENCE_SECONDS
    )
    return page


def follow(client: "httpx.Client", upload_id: str, seen: Callable[[Upload], None]) -> Upload:
    """Wait until nothing moves any more; `seen` gets each state on the way, the last one too.

    The system may go away for two minutes meanwhile: the upload is in its database and goes on.
    """
    begun = time.monotonic()
    while True:
        now = upload(client, upload_id, seconds=_LONG_PATIENCE_SECONDS)
        seen(now)
        if now["status"] in ENDED:
            return now
        time.sleep(min(max(_OFTEN, _OF_WHAT_PASSED * (time.monotonic() - begun)), _SELDOM))


def order(client: "httpx.Client", upload_id: str, verb: str, **said: bool) -> Upload:
    """Ask something of an upload: pause, resume, cancel or retry; returns it as it is then.

    The same request again changes nothing, so one whose answer was lost is made again.

    Raises:
        ApiError: 409 if its state does not allow it, 404 if there is none.
    """
    found: Upload = patiently(
        lambda: client.post(f"{_path(upload_id)}/{verb}", json=said or None).json(), seconds=_PATIENCE_SECONDS
    )
    return found


def until(client: "httpx.Client", upload_id: str, so: Callable[[Upload], bool], seconds: float) -> Upload:
    """The upload once it is `so`, or as it is after so many `seconds`."""
    end = time.monotonic() + seconds
    while not so(now := upload(client, upload_id)) and time.monotonic() < end:
        time.sleep(_OFTEN)
    return now


def dead_letters(client: "httpx.Client", upload_id: str | None, limit: int, cursor: str | None) -> Mapping[str, Any]:
    """A page of at most `limit` (200) dead letters of one upload or of all, newest first: `{items, next_cursor}`."""
    asked = {"limit": limit, "upload_id": upload_id, "cursor": cursor}
    params = {name: value for name, value in asked.items() if value is not None}
    page: Mapping[str, Any] = patiently(
        lambda: client.get(_DEAD_LETTERS, params=params).json(), seconds=_PATIENCE_SECONDS
    )
    return page


def dead_letter(client: "httpx.Client", letter_id: str) -> DeadLetter:
    """One dead letter; ApiError 404 if there is none."""
    path = f"{_DEAD_LETTERS}/{quote(letter_id, safe='')}"
    found: DeadLetter = patiently(lambda: client.get(path).json(), seconds=_PATIENCE_SECONDS)
    return found


def examples(client: "httpx.Client", upload: Upload) -> dict[str, Rejection]:
    """The first rejected record with each error code that the upload has."""
    found = {code: _first_rejected(client, upload["id"], code) for code in upload["errors_by_code"]}
    return {code: rejection for code, rejection in found.items() if rejection}


def report(
    client: "httpx.Client", upload_id: str, form: Literal["csv", "jsonl"], code: str | None = None
) -> Iterator[bytes]:
    """All rejected records as a file, block by block.

    Raises:
        CutOff: it broke off; what came so far is not all.
    """
    import httpx  # noqa: PLC0415 - only commands that talk to a system pay for it

    params = {"format": form} | ({"code": code} if code else {})
    request = client.build_request("GET", f"{_path(upload_id)}/errors", params=params, timeout=_STREAM_TIMEOUT)
    answer = patiently(lambda: client.send(request, stream=True), seconds=_PATIENCE_SECONDS)
    with closing(answer):
        try:
            yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise CutOff(f"the list of errors broke off ({error}); what came is not all, ask for it again") from error


def _first_rejected(client: "httpx.Client", upload_id: str, code: str) -> Rejection | None:
    params: dict[str, str | int] = {"code": code, "limit": 1}
    page = patiently(lambda: client.get(f"{_path(upload_id)}/errors", params=params).json(), seconds=_PATIENCE_SECONDS)
    return next(iter(page["items"]), None)


def _path(upload_id: str) -> str:
    return f"{UPLOADS}/{quote(upload_id, safe='')}"
