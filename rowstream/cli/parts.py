"""Sends a large file in parts, some side by side, each as often as it takes; what is there is not sent again."""

import http
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rowstream.cli.crew import Crew
from rowstream.cli.local_file import LocalFile, NotSent, Sent
from rowstream.cli.patience import Refused, patiently, refusal

if TYPE_CHECKING:
    import httpx

_SIGNED_AT_ONCE = 16
_API_SECONDS, _STORE_SECONDS = 60.0, 120.0
_RUN_OUT = frozenset({http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN})
"""What stores answer when an address has run out."""


def send_missing(client: "httpx.Client", file: LocalFile, upload: str, part_bytes: int, sent: Sent) -> None:
    """Send those parts of a file that the object store does not have yet, some side by side.

    Args:
        client: of the API.
        file: what to send.
        upload: the path of the upload, which waits for its parts.
        part_bytes: of each part but the last.
        sent: told of the progress, by one thread at a time.

    Raises:
        NotSent: the object store did not take a part, or the file was changed.
        ApiError: the API said no.
    """
    there = {one["number"]: one["size_bytes"] for one in _there(client, upload)}
    sizes = dict(enumerate(_sizes(file.size, part_bytes), start=1))
    missing = [number for number, size in sizes.items() if there.get(number) != size]
    progress = _Progress(sent, file.size - sum(sizes[number] for number in missing))
    addresses = _Addresses(client, upload, missing)

    def send(number: int, store: "httpx.Client", going_on: Callable[[], None]) -> None:
        at, size = (number - 1) * part_bytes, sizes[number]
        _send_part(store, file, _Part(number, at, size), addresses, progress, going_on)

    Crew(send).run(missing)
    file.check()


def _sizes(size: int, part_bytes: int) -> Iterator[int]:
    """The parts' sizes in bytes, by number."""
    return (min(part_bytes, size - at) for at in range(0, size, part_bytes))


def _there(client: "httpx.Client", upload: str) -> Iterator[Mapping[str, Any]]:
    """The parts that the object store has."""
    cursor: str | None = None
    while True:
        ask = partial(client.get, f"{upload}/parts", params={"cursor": cursor} if cursor else {})
        page = patiently(ask, seconds=_API_SECONDS).json()
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


class _Part:
    """One part: its number, where in the file it begins, and how many bytes it has."""

    def __init__(self, number: int, at: int, size: int) -> None:
        self.number, self.at, self.size = number, at, size


class _Progress:
    """Adds up what several threads have sent."""

    def __init__(self, sent: Sent, done: int) -> None:
        self._sent, self._done, self._lock = sent, done, threading.Lock()
        sent(done)

    def more(self, size: int) -> None:
        """So many bytes more; less, if a part has to be sent again."""
        with self._lock:
            self._done += size
            self._sent(self._done)


class _Addresses:
    """Where to send each part; asked for some parts at a time, shortly before they are sent."""

    def __init__(self, client: "httpx.Client", upload: str, numbers: Sequence[int]) -> None:
        self._client, self._upload, self._numbers = client, upload, numbers
        self._known: dict[int, str] = {}
        self._lock = threading.Lock()

    def of(self, number: int) -> str:
        """The address of a part."""
        with self._lock:
            if number not in self._known:
                first = self._numbers.index(number)
                self._ask(self._numbers[first : first + _SIGNED_AT_ONCE])
            return self._known[number]

    def run_out(self, number: int, url: str) -> None:
        """Have a fresh address the next time, unless somebody did so already."""
        with self._lock:
            if self._known.get(number) == url:
                del self._known[number]

    def _ask(self, numbers: Sequence[int]) -> None:
        wanted = {"numbers": list(numbers)}
        answer = patiently(lambda: self._client.post(f"{self._upload}/parts", json=wanted).json(), seconds=_API_SECONDS)
        self._known |= {one["number"]: one["url"] for one in answer["items"]}


def _send_part(
    store: "httpx.Client",
    file: LocalFile,
    part: _Part,
    addresses: _Addresses,
    progress: _Progress,
    going_on: Callable[[], None],
) -> None:
    """Send one part, again and again while what fails may pass, and with a fresh address when one has run out."""
    import httpx  # noqa: PLC0415 - only commands that talk to a system pay for it

    ran_out = False
    while True:
        url = addresses.of(part.number)
        once = partial(_send_once, store, url, file, part, progress, going_on)
        try:
            patiently(once, seconds=_STORE_SECONDS)
        except Refused as error:
            if ran_out or error.status not in _RUN_OUT:
                raise _not_sent(url, file, error) from error
            ran_out = True
            addresses.run_out(part.number, url)
        except httpx.TransportError as error:
            raise _not_sent(url, file, error) from error
        else:
            return


def _send_once(
    store: "httpx.Client",
    url: str,
    file: LocalFile,
    part: _Part,
    progress: _Progress,
    going_on: Callable[[], None],
) -> None:
    told = 0

    def blocks() -> Iterator[bytes]:
        nonlocal told
        for block in file.piece(part.at, part.size):
            going_on()
            yield block
            told += len(block)
            progress.more(len(block))

    try:
        answer = store.put(url, content=blocks(), headers={"Content-Length": str(part.size)})
        if answer.is_error:
            raise refusal(answer)  # noqa: TRY301 - it is one of the ways in which the part was not sent
    except BaseException:
        progress.more(-told)
        raise


def _not_sent(url: str, file: LocalFile, error: Exception) -> NotSent:
    return NotSent(
        f"the object store at {urlsplit(url).netloc} did not take {file.name}: {error}; what it took is kept there, "
        "the same command goes on from there"
    )
