"""The `rowstream` command: puts the verbs together, and turns errors into one line and an exit code.

A verb is a plain function in one of this folder's modules; this list is the only place that makes commands of them.
Modules here import nothing heavy at their top, so that `rowstream --help` answers at once.
"""

import inspect
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from rowstream.cli import (
    control,
    dead_letters,
    demo,
    doctor,
    keys,
    organizations,
    records,
    secrets,
    sftp,
    sources,
    storage,
    system,
    topics,
    uploads,
    users,
)
from rowstream.cli.client import NoSystem, NotLetIn
from rowstream.cli.options import WrongUsage
from rowstream.cli.output import answer, note
from rowstream.cli.proxies import without_proxy_here
from rowstream.errors import RowstreamError
from rowstream.stack.state_dir import full_disk

FAILED, WRONG_USAGE = 1, 2

_EVERYWHERE: Final[dict[str, Any]] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

Verb = Callable[..., None]


@dataclass(frozen=True)
class Group:
    """Verbs about one thing, such as `rowstream key create`."""

    name: str
    about: str
    verbs: tuple[Verb, ...]


VERBS: dict[str, tuple[Verb | Group, ...]] = {
    "Begin": (demo.demo,),
    "Uploads": (
        uploads.upload,
        uploads.status,
        uploads.errors,
        control.pause,
        control.resume,
        control.cancel,
        control.retry,
        Group(
            "dead-letters",
            "Records that were given up on, and how to try them again.",
            (dead_letters.list_, dead_letters.show, dead_letters.redrive),
        ),
    ),
    "Record types": (records.record_types, records.template, records.sample),
    "Who may": (
        Group(
            "org",
            "Make, list, change and close organizations.",
            (
                organizations.create,
                organizations.list_,
                organizations.show,
                organizations.set_,
                organizations.close,
            ),
        ),
        Group(
            "user",
            "Make people, and say what they are where.",
            (
                users.create,
                users.list_,
                users.set_role,
                users.set_password,
                users.disable,
                users.enable,
            ),
        ),
        Group(
            "key",
            "Make, list, rotate and end the keys of the API.",
            (keys.create, keys.list_, keys.rotate, keys.revoke),
        ),
    ),
    "The system": (
        system.up,
        doctor.doctor,
        system.migrate,
        topics.topics,
        Group("storage", "The bucket's rules: what becomes of files with time.", (storage.apply, storage.show)),
        Group("sources", "The file that says who hands in by S3 and by SFTP.", (sources.check,)),
        Group("sftp", "Partners' SFTP servers, from which files are fetched.", (sftp.check,)),
        Group("secrets", "Make and renew the file of the keys that sign tokens.", (secrets.make, secrets.rotate)),
    ),
}


def words_of(verb: Verb | Group) -> str:
    """What is typed behind `rowstream` for a verb, or for a group."""
    return verb.name if isinstance(verb, Group) else verb.__name__.rstrip("_").replace("_", "-")


def every_verb() -> Iterator[tuple[str, Verb]]:
    """Each verb as it is typed, `key create`, and its function; in the order of the help."""
    for one in itertools.chain(*VERBS.values()):
        if isinstance(one, Group):
            yield from ((f"{one.name} {words_of(verb)}", verb) for verb in one.verbs)
        else:
            yield words_of(one), one


def examples() -> list[str]:
    """The line that each verb's docstring gives as its example."""
    texts = (line for _, verb in every_verb() for line in (inspect.getdoc(verb) or "").splitlines())
    return [line.removeprefix("Example: ") for line in texts if line.startswith("Example: ")]


def _help_of(verb: Verb) -> str:
    """A verb's docstring with each paragraph on one line: typer would keep the source's line ends."""
    return "\n\n".join(part.replace("\n", " ") for part in (inspect.getdoc(verb) or "").split("\n\n"))


class _InOrder(TyperGroup):
    """Commands in the order of VERBS; by itself typer puts groups before verbs."""

    def list_commands(self, _: object) -> list[str]:
        return [words_of(one) for one in itertools.chain(*VERBS.values())]


app = typer.Typer(
    name="rowstream",
    cls=_InOrder,
    epilog="\n".join(["Examples:", *(f"  {line}" for line in examples()), "", "rowstream VERB --help says more."]),
    **_EVERYWHERE,
)
for panel, verbs in VERBS.items():
    for one in verbs:
        if isinstance(one, Group):
            group = typer.Typer(**_EVERYWHERE)
            for verb in one.verbs:
                group.command(words_of(verb), help=_help_of(verb))(verb)
            app.add_typer(group, name=one.name, help=one.about, rich_help_panel=panel)
        else:
            app.command(words_of(one), help=_help_of(one), rich_help_panel=panel)(one)


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
    """Run the command.

    Exits with 0, with 1 when what was asked for failed, with 2 on wrong usage, a key that is not let in, or no system.
    """
    os.environ.update(without_proxy_here(os.environ))
    try:
        app()
    except (NoSystem, NotLetIn, WrongUsage) as error:
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
