"""The command that shows all that rowstream does, on real files, and checks it."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from rowstream.cli.output import note

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the system's folder, to look around in it later.")] = False,
) -> None:
    """See what rowstream does: run a whole system for a minute, upload two files, check what became of each record.

    Everything happens in a temporary folder and on free ports of 127.0.0.1. At the end all of it is gone, but for a
    downloaded file in the user's cache folder. Exits with 0 if every record's outcome is the one that was planned.

    Example: rowstream demo
    """
    from rowstream.cli import demo_steps  # noqa: PLC0415 - the record types and the whole stack, only needed here
    from rowstream.cli.demo_screen import Screen  # noqa: PLC0415 - the same

    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="rowstream-demo-"))
    try:
        with _one_interrupt():
            right = demo_steps.show(screen, folder)
    except KeyboardInterrupt:
        note("interrupted; everything is stopped")
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    demo_steps.say_goodbye(screen, folder)
    if not right:
        raise typer.Exit(1)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Let the first signal that asks to leave raise KeyboardInterrupt, and no other disturb the stop that follows."""

    def leave(_: int, __: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        note("stopping")
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
