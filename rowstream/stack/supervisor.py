"""Keeps the parts of a system going: started in the order of their needs, each started again alone when it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rowstream.stack import logs
from rowstream.stack.part import Part, levels
from rowstream.stack.runner import Runner, Starting, Tell

LOOK_AT_LOGS_EVERY = 10.0


class Supervisor:
    """Runs parts as children of this process; they end with it, even if it is killed.

    Attributes:
        tell: Called with what happens.
        upkeep: What else to do while `wait` waits; each is started by it.

    `start`, `wait` and `stop` are to be called in one event loop, whose thread lives until the parts have ended.
    `start` and `wait` may be cancelled; `stop` has to be called in every case.
    """

    def __init__(self, parts: Sequence[Part], *, folder: Path, tell: Tell) -> None:
        self._levels = levels(parts)
        self.tell = tell
        self.upkeep: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._runners: dict[str, Runner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._logs = [folder / f"{part.name}.log" for part in parts]
        named = {part.name: part for part in parts}
        for level in self._levels:
            for name in level:
                part = named[name]
                needs = [self._runners[need] for need in part.needs]
                self._runners[name] = Runner(part, log=folder / f"{name}.log", needs=needs, tell=tell)

    async def start(self, timeout: float = 120.0) -> None:  # noqa: ASYNC109 - what is said then needs the parts' states
        """Start everything; returns when all parts are ready.

        Raises:
            Fatal: a part cannot be started, or is not ready after `timeout` seconds; says which, and why.
        """
        for log in self._logs:
            logs.set_aside(log)
        self.tell(Starting(tuple(self._runners)))
        for name, runner in self._runners.items():
            self._tasks[name] = asyncio.create_task(runner.run(), name=name)
        ready = [asyncio.create_task(runner.ready.wait()) for runner in self._runners.values()]
        everything = asyncio.gather(*ready)
        try:
            async with asyncio.timeout(timeout):
                await self._unless_failed(everything)
        except TimeoutError:
            late = next(runner for runner in self._runners.values() if not runner.ready.is_set())
            raise late.too_late(timeout) from None
        finally:
            everything.cancel()
            with suppress(asyncio.CancelledError):
                await everything

    def pid(self, name: str) -> int | None:
        """The process id of a part, while it has a process."""
        return self._runners[name].pid

    @asynccontextmanager
    async def without(self, names: Sequence[str], *, seconds: float) -> AsyncIterator[None]:
        """Stop these parts in an orderly way while inside; afterwards wait until they are ready again.

        Raises:
            TimeoutError: they are not ready after so many seconds; they are kept going all the same.
        """
        runners = [self._runners[name] for name in names]
        try:
            await asyncio.gather(*(runner.hold() for runner in runners))
            yield
        finally:
            for runner in runners:
                runner.release()
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(runner.ready.wait() for runner in runners))

    async def start_anew(self, name: str, *, seconds: float) -> None:
        """Stop a part in an orderly way and start it again; raises as `without` does."""
        async with self.without([name], seconds=seconds):
            pass

    async def wait(self) -> None:
        """Keep the parts going until cancelled, with all upkeep.

        Raises:
            Fatal: a part cannot go on, whatever is done.
        """
        await self._unless_failed(asyncio.ensure_future(self._keep_up()))

    async def stop(self) -> None:
        """Stop all parts, those that need others first; each is asked, and killed if it does not leave in its grace."""
        for level in reversed(self._levels):
            tasks = [self._tasks[name] for name in level if name in self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _unless_failed(self, other: "asyncio.Future[Any]") -> None:
        """Wait for `other`, or raise what a part's task raised first."""
        waiting: set[asyncio.Future[Any]] = {other, *(task for task in self._tasks.values() if not task.done())}
        try:
            while not other.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            other.cancel()

    async def _keep_up(self) -> None:
        await asyncio.gather(self._cap_logs(), *(keep() for keep in self.upkeep))

    async def _cap_logs(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_LOGS_EVERY)
            for log in self._logs:
                await asyncio.to_thread(logs.cap, log)
