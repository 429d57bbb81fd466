"""Start and end a part's process."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from rowstream.stack import child
from rowstream.stack.logs import open_log
from rowstream.stack.part import Account, Part

Process = asyncio.subprocess.Process


def guarded(
    command: tuple[str, ...], death_signal: signal.Signals, account: Account | None, niceness: int = 0
) -> tuple[str, ...]:
    """The command that runs `command` as `account` and ends it with `death_signal` when this process is gone.

    The kernel watches the thread that starts the process, so that thread has to live as long as the part should.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    numbers = (int(death_signal), os.getpid(), uid, gid, niceness)
    return (sys.executable, "-I", "-S", child.__file__, *map(str, numbers), *command)


async def start(part: Part, log: Path) -> Process:
    """Start the part's process, in a session of its own: Ctrl-C in the terminal is the supervisor's affair.

    Raises:
        OSError: it cannot be started.
    """
    with open_log(log) as output:
        return await asyncio.create_subprocess_exec(
            *guarded(part.command, part.death_signal, part.account, part.niceness),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(part.environment),
            cwd=part.folder,
            start_new_session=True,
        )


async def end(process: Process, part: Part) -> None:
    """Ask the process to leave; after the part's grace, kill it and what it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(part.stop_signal)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), part.grace)
    kill(process)
    await process.wait()


def kill(process: Process) -> None:
    """Kill what is left of the process's group, at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
