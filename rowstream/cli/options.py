"""Options that several commands share, so that they are spelled and explained once."""

from pathlib import Path
from typing import Annotated

import typer

from rowstream.errors import Fatal

StateDirOption = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="ROWSTREAM_STATE_DIR",
        help="The folder that holds the system's whole state.",
        show_default=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace a file that is there; without it, such a file is left alone.")
]

DEFAULT_STATE_DIR = Path(".rowstream")


class WrongUsage(Fatal):
    """What the command was given cannot be right: a file that is not there, a record type that nobody knows."""
