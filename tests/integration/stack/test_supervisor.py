"""The supervisor with small stand-ins for the parts: real processes, real signals."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from rowstream.errors import Fatal, Retryable
from rowstream.stack import supervisor as supervisor_module
from rowstream.stack.part import Part
from rowstream.stack.runner import Ended, Event, PartFailed, Ready
from rowstream.stack.supervisor import Supervisor

# Writes its process id, leaves on SIGTERM and says so in the file of farewells.
POLITE = """
import os, pathlib, signal, sys, time
here, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def leave(*_):
    with (here / "farewells").open("a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
(here / name).write_text(str(os.getpid()))
print("hello from", name, flush=True)
time.sleep(600)
"""
STUBBORN = POLITE.replace("signal.signal(signal.SIGTERM, leave)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

SESSIONS_SHARE = Path("/proc/self/autogroup").exists()  # not on every kernel


class Yard:
    """A folder where stand-ins leave their marks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []

    def part(self, name: str, *needs: str, code: str = POLITE, **more: Any) -> Part:
        command = (sys.executable, "-I", "-S", "-c", code, str(self.folder), name)

        def alive(pid: int) -> str | None:
            return None if self.pid(name) == pid else f"{name} to say hello"

        more.setdefault("ready", alive)
        return Part(name=name, command=command, environment={}, needs=needs, **more)

    def pid(self, name: str) -> int | None:
        try:
            return int((self.folder / name).read_text())
        except (OSError, ValueError):
            return None

    @asynccontextmanager
    async def supervised(self, parts: Sequence[Part], timeout: float = 20.0) -> AsyncIterator[Supervisor]:  # noqa: ASYNC109 - handed on
        supervisor = Supervisor(parts, folder=self.folder, tell=self.events.append)
        try:
            await supervisor.start(timeout)
            yield supervisor
        finally:
            await supervisor.stop()


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


def running(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_parts_start_after_what_they_need_and_stop_before_it(yard: Yard) -> None:
    async def scene() -> None:
        parts = [yard.part("service", "database", "broker"), yard.part("database"), yard.part("broker")]
        async with yard.supervised(parts):
            order = [event.part for event in yard.events if isinstance(event, Ready)]
            assert set(order[:2]) == {"database", "broker"}
            assert order[2:] == ["service"]

    asyncio.run(scene())
    farewells = (yard.folder / "farewells").read_text().split()
    assert farewells[0] == "service"
    assert set(farewells[1:]) == {"database", "broker"}
    assert "hello from broker" in (yard.folder / "broker.log").read_text()


def test_a_part_stands_back_behind_others_also_where_sessions_share_the_processors(yard: Yard) -> None:
    def niceness(name: str) -> int:
        return psutil.Process(yard.pid(name)).nice()

    def share_of_session(name: str) -> str:
        return Path(f"/proc/{yard.pid(name)}/autogroup").read_text().split()[-1]

    async def scene() -> None:
        async with yard.supervised([yard.part("first"), *(yard.part(f"behind-{n}", niceness=5) for n in (1, 2, 3))]):
            assert [niceness(name) - niceness("first") for name in ("behind-1", "behind-2", "behind-3")] == [5, 5, 5]
            if SESSIONS_SHARE:
                assert [share_of_session(name) for name in ("first", "behind-1", "behind-3")] == ["0", "5", "5"]

    asyncio.run(scene())


def test_a_part_that_dies_is_started_again_and_only_it(yard: Yard) -> None:
    async def scene() -> None:
        async with yard.supervised([yard.part("service", "broker"), yard.part("broker")]):
            service, broker = yard.pid("service"), yard.pid("broker")
            assert broker is not None
            os.kill(broker, signal.SIGKILL)
            await until(lambda: len([event for event in yard.events if isinstance(event, Ready)]) == 3)
            assert yard.pid("broker") != broker
            assert yard.pid("service") == service
            assert running(service)

    asyncio.run(scene())
    (ended,) = [event for event in yard.events if isinstance(event, Ended)]
    assert (ended.part, ended.reason, ended.delay) == ("broker", "was killed by SIGKILL", 0.2)


def test_parts_are_stopped_for_a_while_and_started_again(yard: Yard) -> None:
    async def scene() -> None:
        parts = [yard.part("one", "broker"), yard.part("two", "broker"), yard.part("broker")]
        async with yard.supervised(parts) as supervisor:
            before = {name: yard.pid(name) for name in ("one", "two", "broker")}
            assert supervisor.pid("one") == before["one"]
            async with supervisor.without(["one", "two"], seconds=20.0):
                assert [supervisor.pid(name) for name in ("one", "two")] == [None, None]
                await asyncio.sleep(0.5)  # longer than a part that died would wait for its next start
                assert [running(before[name]) for name in ("one", "two", "broker")] == [False, False, True]
                assert supervisor.pid("one") is None
            assert running(yard.pid("one"))
            assert running(yard.pid("two"))
            assert yard.pid("broker") == before["broker"]

    asyncio.run(scene())
    assert set((yard.folder / "farewells").read_text().split()[:2]) == {"one", "two"}
    assert [event for event in yard.events if isinstance(event, Ended)] == []


def test_a_part_that_does_not_come_back_in_time_is_told_and_kept_going(yard: Yard) -> None:
    async def scene() -> None:
        async with yard.supervised([yard.part("one")]) as supervisor:
            with pytest.raises(TimeoutError):
                async with supervisor.without(["one"], seconds=0.0):
                    pass
            await until(lambda: running(supervisor.pid("one")))

    asyncio.run(scene())


def test_a_part_that_never_starts_ends_the_start_with_its_last_words(yard: Yard) -> None:
    code = "import sys; print('no such thing'); sys.exit(3)"

    async def scene() -> None:
        with pytest.raises(PartFailed) as caught:
            async with yard.supervised([yard.part("broker", code=code), yard.part("database")]):
                pass
        said = str(caught.value)
        assert said.startswith("broker does not start: it ended with code 3; it said last: no such thing (log: ")

    asyncio.run(scene())
    assert len([event for event in yard.events if isinstance(event, Ended)]) == 4
    assert not running(yard.pid("database"))


def test_a_part_whose_disk_is_full_says_so(yard: Yard) -> None:
    code = "import sys; print('could not write: No space left on device'); sys.exit(1)"

    async def scene() -> None:
        with pytest.raises(PartFailed, match="the disk is full; make room"):
            async with yard.supervised([yard.part("broker", code=code)]):
                pass

    asyncio.run(scene())


def test_a_part_that_is_not_ready_in_time_is_named_with_what_it_waits_for(yard: Yard) -> None:
    async def scene() -> None:
        parts = [yard.part("broker"), yard.part("gateway", "broker", ready=lambda _: "a miracle")]
        with pytest.raises(PartFailed, match=r"gateway is not ready after 1 s \(waiting for a miracle\)"):
            async with yard.supervised(parts, timeout=1.0):
                pass

    asyncio.run(scene())
    assert not running(yard.pid("broker"))
    assert not running(yard.pid("gateway"))


def test_what_cannot_be_prepared_ends_the_start(yard: Yard) -> None:
    def prepare() -> None:
        raise Fatal("no room")

    async def scene() -> None:
        with pytest.raises(Fatal, match=r"^no room$"):
            async with yard.supervised([yard.part("broker", prepare=prepare)]):
                pass

    asyncio.run(scene())


def test_a_part_is_prepared_and_settled_at_each_start_and_settling_may_take_several_tries(yard: Yard) -> None:
    prepared, settled = [], []

    def settle() -> None:
        settled.append(1)
        if len(settled) == 1:
            raise Retryable("the broker still thinks")
        if len(settled) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    async def scene() -> None:
        part = yard.part("broker", prepare=lambda: prepared.append(1), settle=settle)
        async with yard.supervised([part]):
            assert (len(prepared), len(settled)) == (1, 3)
            pid = yard.pid("broker")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: len([event for event in yard.events if isinstance(event, Ready)]) == 2)
            assert (len(prepared), len(settled)) == (2, 4)

    asyncio.run(scene())


def test_a_job_is_done_once_before_those_who_need_it(yard: Yard) -> None:
    code = "import pathlib, sys; pathlib.Path(sys.argv[1], 'work').open('a').write('done ')"

    async def scene() -> None:
        job = yard.part("job", code=code, once=True)
        async with yard.supervised([yard.part("service", "job"), job]):
            assert [event.part for event in yard.events if isinstance(event, Ready)] == ["job", "service"]
            await asyncio.sleep(0.5)

    asyncio.run(scene())
    assert (yard.folder / "work").read_text() == "done "


def test_a_job_that_fails_at_first_is_tried_again(yard: Yard) -> None:
    code = "import pathlib, sys; p = pathlib.Path(sys.argv[1], 'mark'); e = p.exists(); p.touch(); sys.exit(not e)"

    async def scene() -> None:
        async with yard.supervised([yard.part("job", code=code, once=True)]):
            assert [type(event) for event in yard.events[1:]] == [Ended, Ready]

    asyncio.run(scene())


def test_a_part_that_does_not_leave_is_killed_with_what_it_started(yard: Yard) -> None:
    code = "import os\nchild = os.fork()\n" + STUBBORN.replace("(here / name)", '(here / (name if child else "child"))')

    async def scene() -> None:
        async with yard.supervised([yard.part("stubborn", code=code, grace=0.3)]):
            await until(lambda: running(yard.pid("child")))

    asyncio.run(scene())
    assert not running(yard.pid("stubborn"))
    assert not running(yard.pid("child"))


def test_a_start_that_is_given_up_leaves_nothing(yard: Yard) -> None:
    async def scene() -> None:
        async with asyncio.timeout(1.0):
            async with yard.supervised([yard.part("broker"), yard.part("late", ready=lambda _: "ever")]):
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(scene())
    assert not running(yard.pid("broker"))
    assert not running(yard.pid("late"))


def test_logs_are_capped_while_parts_write(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "LOOK_AT_LOGS_EVERY", 0.1)
    monkeypatch.setattr("rowstream.stack.logs.LARGEST_LOG", 1_000)
    chatty = POLITE.replace("time.sleep(600)", "while True: print('x' * 100, flush=True); time.sleep(0.001)")

    async def scene() -> None:
        async with yard.supervised([yard.part("chatty", code=chatty)]) as supervisor:
            waiting = asyncio.create_task(supervisor.wait())
            await until((yard.folder / "chatty.log.1").exists)
            await asyncio.sleep(0.5)
            assert (yard.folder / "chatty.log").stat().st_size < 200_000
            waiting.cancel()

    asyncio.run(scene())


def test_nothing_survives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import asyncio, sys, pathlib
        from rowstream.stack.part import Part
        from rowstream.stack.supervisor import Supervisor
        def part(name, code):
            command = (sys.executable, "-I", "-S", "-c", code, {str(tmp_path)!r}, name)
            return Part(name=name, command=command, environment={{}})
        async def main():
            parts = [part("polite", {POLITE!r}), part("stubborn", {STUBBORN!r})]
            supervisor = Supervisor(parts, folder=pathlib.Path({str(tmp_path)!r}), tell=lambda event: None)
            await supervisor.start()
            print("ready", flush=True)
            await supervisor.wait()
        asyncio.run(main())
    """)
    yard = Yard(tmp_path)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        asyncio.run(until(lambda: running(yard.pid("polite")) and running(yard.pid("stubborn"))))
        supervisor.kill()
    asyncio.run(until(lambda: not running(yard.pid("polite")) and not running(yard.pid("stubborn")), seconds=3))
