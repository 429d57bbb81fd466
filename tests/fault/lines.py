"""The lines between the services and what they use: real TCP connections that can be cut, held, or tampered with.

Each service reaches each server through a line of its own, so that any one of them can be partitioned from any other.
Written for these tests, since what matters here is to cut at one message exactly: the answer to a COMMIT, the middle of
an object.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

_PIECE = 65_536


class Tamper:
    """What happens to the bytes of one connection; this one lets everything pass."""

    def to_server(self, data: bytes) -> bytes:
        """What the server gets of what its client says."""
        return data

    def to_client(self, data: bytes) -> bytes | None:
        """What the client gets of what its server says; None cuts the connection here."""
        return data


class Line:
    """One way to a server at a port of this machine; use it from any thread.

    `hold` is a partition: nothing passes and nobody is told. `cut` ends all connections and refuses new ones. `restore`
    ends either, and any tampering.
    """

    def __init__(self, hub: "Hub", port: int, target: int) -> None:
        self.port = port
        self._hub, self._target = hub, target
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._make_tamper: Callable[[], Tamper] = Tamper
        self._answer: bytes | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._server = hub.run(asyncio.start_server(self._serve, "127.0.0.1", port))

    def hold(self) -> None:
        """Let nothing pass any more, in either direction; connections stay as they are."""
        self._hub.call(self._open.clear)

    def cut(self) -> None:
        """End all connections, and every new one at once."""
        self._refusing = True
        self.drop()

    def drop(self) -> None:
        """End all connections that there are now."""
        self._hub.call(self._drop)

    def tamper(self, make: Callable[[], Tamper]) -> None:
        """Have the bytes of every connection that begins from now on pass through a tamper of its own."""
        self._make_tamper = make
        self.drop()

    def answer(self, words: bytes) -> None:
        """Answer every request by these words instead of passing it on."""
        self._answer = words
        self.drop()

    def restore(self) -> None:
        """Let everything pass again."""
        tampered = self._make_tamper is not Tamper or self._answer is not None
        self._refusing, self._make_tamper, self._answer = False, Tamper, None
        self._hub.call(self._open.set)
        if tampered:
            self.drop()

    async def end(self) -> None:
        """Take no connection any more, and end those that there are; what serves them ends by itself."""
        self._server.close()
        self._refusing = True
        self._open.set()
        self._drop()

    def _drop(self) -> None:
        for writer in tuple(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            if self._answer is not None:
                await self._answer_all(reader, writer, self._answer)
            else:
                await self._pass_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two has left
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        await reader.read(_PIECE)
        writer.write(words)
        await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._connections.add(back)
        tamper = self._make_tamper()
        ways = [
            asyncio.ensure_future(self._copy(reader, back, tamper.to_server)),
            asyncio.ensure_future(self._copy(there, writer, tamper.to_client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(back)
            for way in ways:
                way.cancel()
            with suppress(OSError):
                await asyncio.wait_for(writer.drain(), 1)
            writer.close()
            back.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes | None]
    ) -> None:
        while data := await reader.read(_PIECE):
            await self._open.wait()
            changed = change(data)
            if changed is None:
                writer.transport.abort()
                return
            writer.write(changed)
            await writer.drain()


class Hub:
    """Where all lines run: one event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lines: list[Line] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()

    def line(self, port: int, target: int) -> Line:
        """A line that listens at `port` and leads to `target`, both on this machine."""
        made = Line(self, port, target)
        self._lines.append(made)
        return made

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do some work in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def call(self, change: Callable[[], None]) -> None:
        """Change something in the loop, and wait until it is so."""

        async def in_the_loop() -> None:
            change()

        self.run(in_the_loop())

    def close(self) -> None:
        """End all lines."""
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for line in self._lines:
            await line.end()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
