"""What the commands of operators share: they go to the database itself, as migrate does, and note what they did."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.client import NoSystem
from rowstream.cli.words import moment
from rowstream.errors import Fatal
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import SECRETS, StateDir

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rowstream.database.organizations import Organization
    from rowstream.runtime.secrets import Secrets

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", envvar="ROWSTREAM_DATABASE__URL", help="Which database; without it, the running system's."
    ),
]
OrganizationOption = Annotated[
    str, typer.Option("--organization", help="Which organization, by its name or id.", show_default=True)
]
SECRETS_VARIABLE = "ROWSTREAM_ACCESS__SECRETS_FILE"


def operator() -> str:
    """Whoever gives the command, as this machine knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())  # a container's user often has no name


@contextmanager
def transaction(database: str | None, state_dir: Path) -> Iterator["Connection"]:
    """A transaction on the database that was named, else on the running system's.

    Raises:
        NoSystem: neither is there.
        Fatal: the database has no tables yet.
        Retryable: the database does not answer.
    """
    from rowstream.database.connection import make_engine, retryable_errors  # noqa: PLC0415 - only these commands need it
    from rowstream.database.version import is_migrated  # noqa: PLC0415 - as above

    system = Addresses.saved(StateDir(state_dir))
    url = database or (system.database if system else None)
    if url is None:
        raise NoSystem(f"no system runs on {state_dir}: start one with `rowstream up`, or give --database")
    engine = make_engine(url, service="operator", pool_size=1)
    try:
        with retryable_errors(), engine.begin() as connection:
            if not is_migrated(connection):
                raise Fatal("the database has no tables of this version yet: run `rowstream migrate` first")
            yield connection
    finally:
        engine.dispose()


def organization_of(connection: "Connection", called: str) -> "Organization":
    """The organization with this name or id, locked until the commit; the default one is made if it is not there.

    Raises:
        Fatal: there is none.
    """
    from rowstream.database import keys, organizations  # noqa: PLC0415 - as above

    if called == "default":
        keys.ensure_default_organization(connection)
    found = organizations.named(connection, called)
    locked = found and organizations.find(connection, found.id, lock=True)
    if locked is None:
        raise Fatal(f"there is no organization {called!r}; `rowstream org list` shows those that there are")
    return locked


def open_organization_of(connection: "Connection", called: str) -> "Organization":
    """As `organization_of`, one that is not closed.

    Raises:
        Fatal: there is none, or it is closed.
    """
    found = organization_of(connection, called)
    if found.closed_at:
        raise Fatal(f"{found.name} is closed; `rowstream org set {found.id} --reopen` opens it again")
    return found


def secrets_of(state_dir: Path) -> "Secrets":
    """The secrets of the system, from the file that the gateway has them from.

    Raises:
        Fatal: there is no such file, or it cannot be used.
    """
    from rowstream.runtime import secrets  # noqa: PLC0415 - as above

    path = Path(os.environ.get(SECRETS_VARIABLE) or state_dir / SECRETS)
    if not path.exists():
        raise Fatal(f"there is no secrets file {path}, from which a signing key comes; set {SECRETS_VARIABLE} to it")
    return secrets.read(path)


def shown(when: datetime | None, otherwise: str = "") -> str:
    """A time as people read it; nothing, or `otherwise`, for none."""
    return moment(when.isoformat()) if when else otherwise
