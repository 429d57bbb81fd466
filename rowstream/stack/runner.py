"""Keeps one part going: start, wait until it is ready, wait until it ends, decide, again."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rowstream.errors import Fatal, Retryable, RowstreamError
from rowstream.stack import logs
from rowstream.stack.part import Part
from rowstream.stack.process import Process, end, start
from rowstream.stack.restarts import Again, Done, GiveUp, History, after_end

_CANNOT_START = 127
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


class PartFailed(Fatal):
    """A part cannot be started; the message says why and where its log is."""


@dataclass(frozen=True)
class Starting:
    """The system begins to start; these are its parts."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Ready:
    """The part is ready, so many seconds after its process was started."""

    part: str
    seconds: float


@dataclass(frozen=True)
class Ended:
    """The part's process ended by itself, or could not be started again, and is started again in `delay` seconds."""

    part: str
    reason: str
    delay: float
    log: Path


@dataclass(frozen=True)
class Recycled:
    """The embedded broker's topic was made anew, from so many bytes of memory to so many; or why it was not.

    Attributes:
        limit: The bytes that it is to stay below. What is announced stays in it, so it may be above for good.
    """

    part: str
    seconds: float
    before: int
    after: int
    limit: int
    failure: str | None


@dataclass(frozen=True)
class Announcing:
    """Accepted records of these types are announced on the embedded broker, which keeps what it is told in memory."""

    part: str
    record_types: tuple[str, ...]


@dataclass(frozen=True)
class Jammed:
    """The embedded broker let a service into no group for long, and is started anew."""

    part: str
    service: str


Event = Starting | Ready | Ended | Recycled | Announcing | Jammed
Tell = Callable[[Event], None]


class Runner:
    """One part's life; `run` is to be a task of its own, and cancelling it stops the part in an orderly way."""

    def __init__(self, part: Part, *, log: Path, needs: Sequence["Runner"], tell: Tell) -> None:
        self.part = part
        self.log = log
        self.ready = asyncio.Event()
        self.waiting_for = "its turn"
        self._needs = needs
        self._tell = tell
        self._ever_ready = False
        self._process: Process | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def hold(self) -> None:
        """Stop the part in an orderly way, and do not start it again until `release`."""
        self._wanted.clear()
        if self._process:
            await end(self._process, self.part)
        self.ready.clear()

    def release(self) -> None:
        """Let the part be started again."""
        self._wanted.set()

    async def run(self) -> None:
        """Keep the part going until cancelled; a job ends by itself.

        Raises:
            PartFailed: it ended again and again without ever being ready.
            Fatal: what has to be there before its start cannot be had.
        """
        history = History()
        while True:
            for need in self._needs:
                self.waiting_for = f"{need.part.name} to be ready"
                await need.ready.wait()
            self.waiting_for = "being wanted again"
            await self._wanted.wait()
            ready_for, exit_code, why = await self._live()
            if not self._wanted.is_set():
                continue  # it was asked to leave
            history, action = after_end(history, once=self.part.once, exit_code=exit_code, ready_for=ready_for)
            match action:
                case Done():
                    return
                case GiveUp():
                    raise PartFailed(self._why(f"{self.part.name} does not start: it {reason(exit_code)}"))
                case Again(delay):
                    self._tell(Ended(self.part.name, why, delay, self.log))
                    self.waiting_for = f"its next start ({why})"
                    await asyncio.sleep(delay)

    def too_late(self, seconds: float) -> PartFailed:
        """What to say when the part is not ready in time."""
        return PartFailed(
            self._why(f"{self.part.name} is not ready after {seconds:.0f} s (waiting for {self.waiting_for})")
        )

    async def _live(self) -> tuple[float | None, int, str]:
        """One life of the process: for how many seconds it was ready (None: never), its exit code, and that in words.

        The words are about what hindered it where it could not be started again.
        """
        began = time.monotonic()
        try:
            process = self._process = await self._start()
        except (RowstreamError, OSError) as error:
            if not self._ever_ready:
                raise
            return None, _CANNOT_START, f"cannot be started: {error}"
        try:
            if not self._wanted.is_set():  # meanwhile it was asked to leave
                return None, 0, reason(0)
            ready_for, exit_code = await self._watch(process, began), await process.wait()
            return ready_for, exit_code, reason(exit_code)
        finally:
            if not self.part.once:
                self.ready.clear()
            await end(process, self.part)

    async def _start(self) -> Process:
        self.waiting_for = "what it needs before its start"
        if self.part.prepare:
            await asyncio.to_thread(self.part.prepare)
        return await start(self.part, self.log)

    async def _watch(self, process: Process, began: float) -> float | None:
        """Wait for the process to be ready, and then to end; seconds between the two, None if it never was."""
        if self.part.once:
            self.waiting_for = "its work to be done"
            if await process.wait() == 0:
                self._is_ready(began)
            return None
        ended = asyncio.ensure_future(process.wait())
        readiness = asyncio.ensure_future(self._until_ready(process))
        try:
            await asyncio.wait({ended, readiness}, return_when=asyncio.FIRST_COMPLETED)
            if readiness.done():
                readiness.result()
            if ended.done():
                return None
            self._is_ready(began)
            ready_at = time.monotonic()
            await ended
            return time.monotonic() - ready_at
        finally:
            ended.cancel()
            readiness.cancel()

    def _is_ready(self, began: float) -> None:
        self._ever_ready = True
        self.ready.set()
        self._tell(Ready(self.part.name, time.monotonic() - began))

    async def _until_ready(self, process: Process) -> None:
        """Return as soon as the part is ready and settled."""
        pause = _SHORTEST_PAUSE
        while (missing := await asyncio.to_thread(self._look, process.pid)) is not None:
            self.waiting_for = missing
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _look(self, pid: int) -> str | None:
        missing = self.part.ready(pid) if self.part.ready else None
        if missing is None and self.part.settle:
            try:
                self.part.settle()
            except (Retryable, OSError) as error:  # a disk that is full now need not be for ever
                return str(error)
        return missing

    def _why(self, what: str) -> str:
        if "No space left on device" in logs.last_lines(self.log, lines=20):
            return f"{what}: the disk is full; make room, or give a folder on another disk with --state-dir"
        said = logs.last_lines(self.log, lines=1)
        return f"{what}; it said last: {said or 'nothing'} (log: {self.log})"


def reason(exit_code: int) -> str:
    """An exit code in words."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
