"""`python flooding.py PORT KEY SECONDS FORM`: floods a gateway with one key, and prints how its requests were answered.

Closed: as many requests as go through some lines at once, each after the answer to the one before. Open: 10,000
requests a second, whether those before them were answered or not; what no line takes any more is counted as unsent.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

PATH = "/api/v1/batch_uploads?limit=1"
LINES, A_SECOND, AT_ONCE = 30, 10_000, 10
_BEHIND_BYTES = 64_000  # a line with so much in front of it takes no more

Answers = Counter[str]


class Flood:
    """One flood: a request that is ready to be sent, when it ends, and what came back."""

    def __init__(self, port: int, key: str, seconds: float) -> None:
        self._port, self._end = port, time.monotonic() + seconds
        self._request = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        self.answers: Answers = Counter()

    @property
    def _over(self) -> bool:
        return time.monotonic() >= self._end

    async def closed(self) -> None:
        """Ask again as soon as an answer has come."""
        await asyncio.gather(*(self._lines(self._ask_and_wait) for _ in range(LINES)))

    async def open(self) -> None:
        """Ask at a steady rate."""
        await asyncio.gather(*(self._lines(self._ask_steadily) for _ in range(LINES)))

    async def _lines(self, use: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        while not self._over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                await use(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the gateway may close such a line
            finally:
                writer.close()

    async def _ask_and_wait(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._over:
            writer.write(self._request)
            await self._answer(reader)

    async def _ask_steadily(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening = asyncio.ensure_future(self._listen(reader))
        due = time.monotonic()
        try:
            while not self._over and not listening.done():
                if writer.transport.get_write_buffer_size() < _BEHIND_BYTES:
                    writer.write(self._request * AT_ONCE)
                    self.answers["sent"] += AT_ONCE
                else:
                    self.answers["unsent"] += AT_ONCE
                due += AT_ONCE * LINES / A_SECOND
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            await self._answer(reader)

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        self.answers[head.split(b" ", 2)[1].decode()] += 1


def main() -> None:
    """Flood, and say what came of it."""
    port, key, seconds, form = sys.argv[1:]
    flood = Flood(int(port), key, float(seconds))
    asyncio.run(flood.open() if form == "open" else flood.closed())
    json.dump(flood.answers, sys.stdout)


if __name__ == "__main__":
    main()
