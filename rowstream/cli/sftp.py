"""The command `sftp check`: whether a partner's server lets us in, and what would be taken from it."""

import json as json_text
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rowstream.cli.options import JsonOption
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.cli.words import counted, moment, size
from rowstream.errors import Fatal

_PROGRAM = "ingest_gateway.arrivals.sftp_check"
_PATIENCE_SECONDS = 600.0


def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The source, as the sources file names it.", show_default=False)
    ],
    *,
    sources: Annotated[
        Path,
        typer.Option(envvar="ROWSTREAM_GATEWAY__SOURCES_FILE", help="The sources file (TOML).", show_default=False),
    ],
    json: JsonOption = False,
) -> None:
    """Log in to a partner's SFTP server as the gateway does, list what it would take, and take nothing.

    Run it where the gateway runs. What was taken before and still lies there is listed too.

    Example: rowstream sftp check acme --sources sources.toml
    """
    found = _asked(name, sources)
    if json:
        answer_json(found)
        return
    files = found["files"]
    if files:
        answer_table(["file", "size", "changed", "would"], [_row(file) for file in files])
    else:
        answer("logged in; the folder has nothing that the source is after")
    if not found["complete"]:
        note("the folder has more names than are looked at; the others come once these are gone")
    taken = sum(file["would"] == "take" for file in files)
    note(f"{counted(taken, 'file')} would be taken now; nothing was")


def _asked(name: str, sources: Path) -> dict[str, Any]:
    """What the gateway's own code finds, in a process of its own: a command uses no service's code.

    Raises:
        Fatal: it cannot log in or list; says why.
    """
    command = [sys.executable, "-P", "-m", _PROGRAM, name, str(sources)]
    try:
        done = subprocess.run(  # noqa: S603 - our own program, with words that no shell reads
            command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
        )
        found: dict[str, Any] = json_text.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as error:
        raise Fatal(f"{name} could not be checked: {type(error).__name__}") from error
    if "error" in found:
        raise Fatal(found["error"])
    return found


def _row(file: dict[str, Any]) -> list[str]:
    would = f"{file['would']}: {file['reason']}" if file["reason"] else file["would"]
    return [_printable(file["path"]), size(file["size_bytes"]), moment(file["modified_at"]), would]


def _printable(path: str) -> str:
    """A name of somebody else's as it can be shown in a terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in path)
