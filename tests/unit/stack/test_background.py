"""A system beside other work ends with it, even if the work is interrupted at the worst moment."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rowstream.stack import background
from rowstream.stack.system import Options


class Interrupted(threading.Thread):
    """A thread whose start is interrupted by Ctrl-C when it runs already, or nearly."""

    def start(self) -> None:
        super().start()
        raise KeyboardInterrupt


@pytest.mark.parametrize("thread", [threading.Thread, Interrupted])
def test_no_system_outlives_the_work_it_was_started_for(
    thread: type[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def running(_: Options, __: object) -> AsyncIterator[tuple[None, "Endless"]]:
        events.append("started")
        try:
            yield None, Endless()
        finally:
            events.append("stopped")

    monkeypatch.setattr(background, "running", running)
    monkeypatch.setattr(threading, "Thread", thread)
    with pytest.raises(KeyboardInterrupt), background.in_background(Options()):
        raise KeyboardInterrupt
    assert events in (["started", "stopped"], [])
    assert "system" not in {alive.name for alive in threading.enumerate()}


class Endless:
    """A supervisor that waits until it is cancelled."""

    async def wait(self) -> None:
        await asyncio.Event().wait()
