"""The `rowstream` command: puts the verbs together, and turns errors into one line and an exit code.

A verb is a plain function in one of this folder's modules; this list is the only place that makes commands of them.
Modules here import nothing heavy at their top, so that `rowstream --help` answers at once.
"""

import inspect
import itertools
import os
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from rowstream.cli import demo, doctor, records, system, uploads
from rowstream.cli.client import NoSystem
from rowstream.cli.options import WrongUsage
from rowstream.cli.output import answer, note
from rowstream.cli.proxies import without_proxy_here
from rowstream.errors import RowstreamError
from rowstream.stack.state_dir import full_disk

FAILED, WRONG_USAGE = 1, 2

VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (demo.demo,),
    "Uploads": (uploads.upload, uploads.status, uploads.errors),
    "Record types": (records.record_types, records.template, records.sample),
    "The system": (system.up, doctor.doctor, system.migrate, system.topics),
}


def examples(verbs: Iterable[Callable[..., None]]) -> list[str]:
    """The line that each verb's docstring gives as its example."""
    texts = (line for verb in verbs for line in (inspect.getdoc(verb) or "").splitlines())
    return [line.removeprefix("Example: ") for line in texts if line.startswith("Example: ")]


app = typer.Typer(
    name="rowstream",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\n\n".join(["Examples:", *examples(itertools.chain(*VERBS.values())), "rowstream VERB --help says more."]),
)
for panel, verbs in VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        answer(f"rowstream {version('rowstream')}")
        raise typer.Exit


@app.callback()
def rowstream(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Takes in large files of records: every line becomes a typed row, or a rejection that says why.

    Begin with `rowstream demo`, which shows all of it on real files, or with `rowstream up`, which runs a system here.
    """


def main() -> None:
    """Run the command; exits with 0, with 1 when what was asked for failed, with 2 on wrong usage or no system."""
    os.environ.update(without_proxy_here(os.environ))
    try:
        app()
    except (NoSystem, WrongUsage) as error:
        _leave(error, WRONG_USAGE)
    except RowstreamError as error:
        _leave(error, FAILED)
    except OSError as error:
        if full := full_disk(error, Path.cwd()):
            _leave(full, FAILED)
        raise


def _leave(error: Exception, code: int) -> None:
    note(f"rowstream: {error}")
    sys.exit(code)
