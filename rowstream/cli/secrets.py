"""Commands about the secrets file, where no `rowstream up` makes it: secrets make, secrets rotate."""

from pathlib import Path
from typing import Annotated

import typer

from rowstream.cli.options import WrongUsage
from rowstream.cli.output import answer, note
from rowstream.errors import Fatal

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The secrets file.", show_default=False)]


def make(file: FileArgument) -> None:
    """Make the file of the keys that sign tokens; one that is there already stays as it is.

    Every gateway of a system is given the same file, by the variable `ROWSTREAM_ACCESS__SECRETS_FILE`. Only its owner
    may read it. `rowstream up` makes one of its own.

    Example: rowstream secrets make /etc/rowstream/secrets.json
    """
    from rowstream.runtime import secrets  # noqa: PLC0415 - only these commands need it, and it is slow to import

    if file.exists():
        secrets.read(file)
        answer(f"{file} is there already, and as it should be")
        return
    try:
        secrets.write(file, secrets.new_secrets())
    except OSError as error:
        raise Fatal(f"{file} cannot be written: {error.strerror}") from error
    answer(f"made {file}; set ROWSTREAM_ACCESS__SECRETS_FILE to it")


def rotate(
    file: FileArgument,
    *,
    keep: Annotated[int, typer.Option(min=0, max=100, help="How many of the older keys go on verifying.")] = 1,
) -> None:
    """Put a new key first, which signs from now on; tokens that an older one signed hold while that one is kept.

    A running gateway reads the changed file by itself. With `--keep 0` every access token ends at once, and people's
    programs get new ones with their refresh tokens. What is derived for signed requests stays as it is.

    Example: rowstream secrets rotate /etc/rowstream/secrets.json --keep 1
    """
    from rowstream.runtime import secrets  # noqa: PLC0415 - as above

    if not file.exists():
        raise WrongUsage(f"there is no {file}; `rowstream secrets make` makes one")
    rotated = secrets.rotated(secrets.read(file), keep=keep)
    try:
        secrets.write(file, rotated)
    except OSError as error:
        raise Fatal(f"{file} cannot be written: {error.strerror}") from error
    answer(f"{rotated.signing[0].thumbprint()} signs from now on")
    note(f"{len(rotated.signing) - 1} older keys go on verifying")
