"""Commands about the keys of the API: key create, key list, key rotate, key revoke. They go to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from rowstream.cli.operators import (
    DatabaseOption,
    OrganizationOption,
    open_organization_of,
    operator,
    organization_of,
    secrets_of,
    shown,
    transaction,
)
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.errors import Fatal
from rowstream.ids import new_id

if TYPE_CHECKING:
    from rowstream.database.keys import StoredKey

_ONCE = "this is the only time that it is shown; `rowstream key revoke {}` ends it"

KeyArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The key, as `rowstream key list` names it.", show_default=False)
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
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="What it may do, such as uploads:read; again for more. Else what an operator may."
        ),
    ] = None,
    signed_only: Annotated[
        bool, typer.Option("--signed-only", help="It is never sent: requests are signed with it (RFC 9421).")
    ] = False,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Make a key for the API, and show it this once: the database has only its hash.

    Example: rowstream key create nightly-export --days 365 --scope uploads:write --scope uploads:read
    """
    from rowstream.database import acts, keys, signers  # noqa: PLC0415 - only commands that go to the database need it

    if not name.strip():
        raise WrongUsage("a key needs a name: say who will use it")
    key_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    secret = signers.secret_of(secrets_of(state_dir), key_id) if signed_only else None
    with _known_scopes(), transaction(database, state_dir) as connection:
        owner = open_organization_of(connection, organization)
        key = keys.make_key(
            connection,
            owner.id,
            name,
            key_id=key_id,
            expires_at=expires_at,
            scopes=scopes or None,
            created_by=f"operator {operator()}",
            signing_secret=secret,
        )
        details = {"name": name, "scopes": scopes or None, "signed_only": signed_only}
        acts.write_command(connection, owner.id, "key.made", by=operator(), target=str(key_id), details=details)
        made = keys.stored_key(connection, owner.id, key_id)
    if json:
        answer_json(_new(made, key, owner.name))
        return
    answer(key)
    note(_ONCE.format(key_id))


def list_(
    *,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """List the keys of the API by name, none of them readable.

    Example: rowstream key list
    """
    from rowstream.database import keys  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        found = keys.stored_keys(connection, organization_of(connection, organization).id)
    if json:
        answer_json({"items": [asdict(key) for key in found], "next_cursor": None})
        return
    answer_table(
        ["id", "state", "created", "expires", "last used", "use", "scopes", "name"],
        [
            [
                *(str(key.id), key.state, shown(key.created_at), shown(key.expires_at, "never")),
                *(shown(key.last_used_at, "never"), "signs only" if key.signed_only else "is sent"),
                *(" ".join(key.scopes or ("as an operator",)), key.name),
            ]
            for key in found
        ],
    )


def rotate(
    key_id: KeyArgument,
    *,
    overlap: Annotated[
        int, typer.Option(min=0, max=720, help="Hours for which the old key goes on beside the new one.")
    ] = 24,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Make a key's successor, of the same name, scopes and lifetime, and let the old one end after the overlap.

    Example: rowstream key rotate 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f --overlap 48
    """
    from rowstream.database import acts, keys, signers  # noqa: PLC0415 - as above

    wanted, successor = _id(key_id), new_id()
    with transaction(database, state_dir) as connection:
        owner = open_organization_of(connection, organization)
        old = keys.stored_key(connection, owner.id, wanted, lock=True)
        if old is None:
            raise _no_such_key(wanted)
        secret = signers.secret_of(secrets_of(state_dir), successor) if old.signed_only else None
        try:
            key = keys.replace(
                connection,
                owner.id,
                old,
                key_id=successor,
                overlap_seconds=overlap * 3_600,
                created_by=f"operator {operator()}",
                signing_secret=secret,
            )
        except keys.NotRotatable as error:
            raise Fatal(str(error)) from error
        details = {"successor": str(successor), "overlap_seconds": overlap * 3_600}
        acts.write_command(connection, owner.id, "key.rotated", by=operator(), target=str(wanted), details=details)
        made = keys.stored_key(connection, owner.id, successor)
    if json:
        answer_json({**_new(made, key, owner.name), "replaces": wanted})
        return
    answer(key)
    note(f"{wanted} goes on for {overlap} hours; {_ONCE.format(successor)}")


def revoke(
    key_id: KeyArgument,
    *,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """End a key: from now on the API refuses it. Uploads that were made with it go on.

    Example: rowstream key revoke 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f
    """
    from rowstream.database import acts, keys  # noqa: PLC0415 - as above

    wanted = _id(key_id)
    with transaction(database, state_dir) as connection:
        owner = organization_of(connection, organization)
        old = keys.stored_key(connection, owner.id, wanted, lock=True)
        if old is None:
            raise _no_such_key(wanted)
        if old.revoked_at is None:
            keys.revoke(connection, owner.id, wanted)
            acts.write_command(
                connection, owner.id, "key.revoked", by=operator(), target=str(wanted), details={"name": old.name}
            )
    if json:
        answer_json({"id": wanted, "name": old.name, "state": "revoked"})
    else:
        answer(f"{old.name} ({wanted}) is revoked")


@contextmanager
def _known_scopes() -> Iterator[None]:
    from rowstream.database.keys import UnknownScope  # noqa: PLC0415 - as above

    try:
        yield
    except UnknownScope as error:
        raise WrongUsage(str(error)) from error


def _new(made: "StoredKey | None", key: str, organization: str) -> dict[str, object]:
    """A key that was just made as the API shows it, and whose it is."""
    return {**(asdict(made) if made else {}), "organization": organization, "key": key}


def _id(key_id: str) -> UUID:
    try:
        return UUID(key_id)
    except ValueError:
        raise WrongUsage(f"{key_id!r} is no id of a key; `rowstream key list` shows them") from None


def _no_such_key(key_id: UUID) -> Fatal:
    return Fatal(f"there is no key {key_id}; `rowstream key list` shows those that there are")
