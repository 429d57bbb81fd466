"""Commands about the keys of the API: keys create, keys list, keys revoke. They go to the database, as migrate does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from rowstream.cli.client import NoSystem
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.cli.words import moment
from rowstream.errors import Fatal
from rowstream.ids import new_id
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    from sqlalchemy import Connection

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", envvar="ROWSTREAM_DATABASE__URL", help="Which database; without it, the running system's."
    ),
]


def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Who will use it; uploads show it as their creator.", show_default=False),
    ],
    *,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Valid for so many days; without it, until it is revoked.")
    ] = None,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Make a key for the API, and show it this once: the database has only its hash.

    Example: rowstream keys create nightly-export --days 365
    """
    from rowstream.database import keys  # noqa: PLC0415 - only commands that go to the database need it

    if not name.strip():
        raise WrongUsage("a key needs a name: say who will use it")
    key_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with _transaction(database, state_dir) as connection:
        keys.ensure_default_organization(connection)
        key = keys.make_key(connection, keys.DEFAULT_ORGANIZATION, name, key_id=key_id, expires_at=expires_at)
    if json:
        answer_json({"id": key_id, "name": name, "key": key, "expires_at": expires_at})
        return
    answer(key)
    note(f"this is the only time that it is shown; `rowstream keys revoke {key_id}` ends it")


def list_(
    *, database: DatabaseOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR, json: JsonOption = False
) -> None:
    """List the keys of the API by name, none of them readable.

    Example: rowstream keys list
    """
    from rowstream.database import keys  # noqa: PLC0415 - only commands that go to the database need it

    with _transaction(database, state_dir) as connection:
        found = keys.stored_keys(connection, keys.DEFAULT_ORGANIZATION)
    if json:
        answer_json({"items": [asdict(key) for key in found], "next_cursor": None})
        return
    answer_table(
        ["id", "state", "created", "expires", "name"],
        [
            [str(key.id), key.state, _moment(key.created_at), _moment(key.expires_at) or "never", key.name]
            for key in found
        ],
    )


def revoke(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="The key, as `rowstream keys list` names it.", show_default=False)
    ],
    *,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """End a key: from now on the API refuses it. Uploads that were made with it go on.

    Example: rowstream keys revoke 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f
    """
    from rowstream.database import keys  # noqa: PLC0415 - only commands that go to the database need it

    try:
        wanted = UUID(key_id)
    except ValueError:
        raise WrongUsage(f"{key_id!r} is no id of a key; `rowstream keys list` shows them") from None
    with _transaction(database, state_dir) as connection:
        name = keys.revoke(connection, keys.DEFAULT_ORGANIZATION, wanted)
    if name is None:
        raise Fatal(f"there is no key {wanted}; `rowstream keys list` shows those that there are")
    answer(f"{name} ({wanted}) is revoked")


@contextmanager
def _transaction(database: str | None, state_dir: Path) -> Iterator["Connection"]:
    """A transaction on the database that was named, else on the running system's.

    Raises:
        NoSystem: neither is there.
        Fatal: the database has no tables yet.
        Retryable: the database does not answer.
    """
    from rowstream.database.connection import make_engine, retryable_errors  # noqa: PLC0415 - as above
    from rowstream.database.version import is_migrated  # noqa: PLC0415 - as above

    system = Addresses.saved(StateDir(state_dir))
    url = database or (system.database if system else None)
    if url is None:
        raise NoSystem(f"no system runs on {state_dir}: start one with `rowstream up`, or give --database")
    engine = make_engine(url, service="keys", pool_size=1)
    try:
        with retryable_errors(), engine.begin() as connection:
            if not is_migrated(connection):
                raise Fatal("the database has no tables of this version yet: run `rowstream migrate` first")
            yield connection
    finally:
        engine.dispose()


def _moment(when: datetime | None) -> str:
    return moment(when.isoformat()) if when else ""
