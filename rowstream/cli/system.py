"""Commands that run a system and prepare its database: up, migrate."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from rowstream.cli.client import NoSystem
from rowstream.cli.given_addresses import check_servers
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption
from rowstream.cli.output import answer, answer_json, note
from rowstream.cli.starting import StartView, say_ready
from rowstream.stack.addresses import Addresses, without_password
from rowstream.stack.state_dir import StateDir
from rowstream.stack.system import Options, running


def up(
    *,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    processors: Annotated[int, typer.Option(min=1, max=64, help="How many record processors to run.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the API; 0 takes a free one.")] = 8000,
    broker: Annotated[
        str | None, typer.Option(envvar="ROWSTREAM_UP_BROKER", help="A real Kafka: host:port[,host:port].")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="ROWSTREAM_UP_DATABASE",
            help="A real Postgres: postgresql://user@host:port/name. An address with a password is better given by the "
            "variable, since every user of the machine can read a command line.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="ROWSTREAM_UP_STORAGE",
            help="A real S3: its endpoint URL; bucket and credentials from ROWSTREAM_STORAGE__*.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a whole system until Ctrl-C: broker, database, object store and the four services.

    It needs nothing but what is installed with rowstream, listens on 127.0.0.1 only and keeps all its state in one
    folder. A part that dies is started again. The variable `ROWSTREAM_UP_BROKER_MEMORY` says how many bytes of memory
    the embedded broker may fill before its topic of chunks is made anew (1 GB unless it is set).

    Example: rowstream up --port 9000
    """
    check_servers(broker=broker, database=database, storage=storage)
    options = Options(
        state_dir=state_dir, processors=processors, port=port, broker=broker, database=database, storage=storage
    )
    state = StateDir(state_dir)
    if mode := state.open_mode():
        note(f"the state folder {state.path} can be read by others ({mode:o}); chmod 700 {state.path} keeps them out")
    asyncio.run(_until_signal(options, json=json))


def migrate(
    *,
    database: Annotated[
        str | None,
        typer.Option(envvar="ROWSTREAM_DATABASE__URL", help="Which database; without it, the running system's."),
    ] = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Make or extend the tables of the system and of every installed record type.

    `up` does this by itself; use it after you install a record type, and before an update where you run the services
    yourself. Doing it twice changes nothing.

    Example: rowstream migrate --database postgresql://me@db.example:5432/records
    """
    from rowstream.database.migrate import migrate as bring_up_to_date  # noqa: PLC0415 - only this command needs it
    from rowstream.records.registry import record_types  # noqa: PLC0415 - the same

    url = database or _running(state_dir).database
    types = record_types()
    bring_up_to_date(url, list(types.values()))
    answer(f"{without_password(url)} is up to date; record types: {', '.join(types) or 'none'}")


async def _until_signal(options: Options, *, json: bool) -> None:
    """Run the system; the first signal stops it in order, a second one ends everything at once."""
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(_run(options, json=json))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _stop, work)
    try:
        await work
    except asyncio.CancelledError:
        note("stopped")


async def _run(options: Options, *, json: bool) -> None:
    with StartView(options.state_dir) as view:
        async with running(options, view.tell) as (addresses, supervisor):
            view.started()
            if json:
                answer_json(addresses.as_json())
            else:
                say_ready(addresses, options.state_dir, for_person=sys.stdout.isatty())
            await supervisor.wait()


def _stop(work: "asyncio.Task[None]") -> None:
    if work.cancelling():
        os._exit(1)  # the kernel ends the parts, as they asked it to
    note("stopping; again to end everything at once")
    work.cancel()


def _running(state_dir: Path) -> Addresses:
    system = Addresses.saved(StateDir(state_dir))
    if system is None:
        raise NoSystem(f"no system runs on {state_dir}: start one with `rowstream up`, or give the address")
    return system
