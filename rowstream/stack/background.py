"""A whole system beside other work of the same program, as `rowstream demo` and tests want it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

from rowstream.stack.addresses import Addresses
from rowstream.stack.runner import Event, Tell
from rowstream.stack.system import Options, running


def _say_nothing(_: Event) -> None:
    pass


@contextmanager
def in_background(options: Options, tell: Tell = _say_nothing) -> Iterator[Addresses]:
    """Run a system in a thread while inside; all its processes are gone afterwards, whatever happens inside.

    Args:
        options: what it is to be.
        tell: called in that thread for everything that happens to a part.

    Raises:
        Fatal: it cannot be started; see `running`.
    """
    ready: Future[Addresses] = Future()
    stop = threading.Event()
    # The kernel ends the parts when the thread that started them ends, so the thread stays until they are gone.
    thread = threading.Thread(target=asyncio.run, args=(_run(options, tell, ready, stop),), name="system")
    try:
        thread.start()
        yield ready.result()
    finally:
        stop.set()
        _until_ended(thread)


def _until_ended(thread: threading.Thread) -> None:
    """Wait for the end of a thread, also of one whose `start` a signal interrupted, which `join` would refuse."""
    while thread in threading.enumerate():
        if thread.is_alive():
            thread.join()
        else:
            time.sleep(0.001)


async def _run(options: Options, tell: Tell, ready: "Future[Addresses]", stop: threading.Event) -> None:
    work = asyncio.create_task(_until_cancelled(options, tell, ready))
    while not stop.is_set() and not work.done():
        await asyncio.wait([work], timeout=0.05)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def _until_cancelled(options: Options, tell: Tell, ready: "Future[Addresses]") -> None:
    try:
        async with running(options, tell) as (addresses, supervisor):
            ready.set_result(addresses)
            await supervisor.wait()
    except Exception as error:
        if ready.done():
            raise
        ready.set_exception(error)
