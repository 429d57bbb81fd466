"""Commands about people: user create, list, set-role, set-password, disable, enable. They go to the database."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from rowstream.cli.operators import (
    DatabaseOption,
    OrganizationOption,
    open_organization_of,
    operator,
    organization_of,
    shown,
    transaction,
)
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.errors import Fatal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rowstream.database.users import User

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_LONGEST_ADDRESS = 254
_LONGEST_NAME = 200

EmailArgument = Annotated[
    str, typer.Argument(metavar="EMAIL", help="The person's e-mail address, in any spelling.", show_default=False)
]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]


def create(
    email: EmailArgument,
    *,
    name: Annotated[str | None, typer.Option(help="Their name; without it, the e-mail address.")] = None,
    role: Annotated[str, typer.Option(help="owner, admin, operator, reviewer or viewer.")] = "viewer",
    password_stdin: PasswordOption = False,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Make a person who may log in, and a member of an organization. Without a password they come by a provider.

    Example: rowstream user create ann@example.org --role admin --organization "Acme Ltd"
    """
    _check(email, name, role)
    password_hash = _hash(_from_stdin()) if password_stdin else None
    from rowstream.database import users  # noqa: PLC0415 - only commands that go to the database need it

    with transaction(database, state_dir) as connection:
        owner = open_organization_of(connection, organization)
        user_id = users.make_user(connection, email, (name or users.canonical_email(email)).strip(), password_hash)
        if user_id is None:
            detail = f"there is a user {email} already; `rowstream user set-role` makes them a member"
            raise Fatal(detail)
        users.make_member(connection, owner.id, user_id, role, by=f"operator {operator()}", accepted=True)
        _note(connection, owner.id, "member.added", user_id, {"email": users.canonical_email(email), "role": role})
    if json:
        facts = {"id": user_id, "email": users.canonical_email(email), "role": role, "organization": owner.name}
        answer_json(facts)
    else:
        answer(f"{users.canonical_email(email)} ({user_id}) is {role} in {owner.name}")
        if not password_stdin:
            note("they have no password; `rowstream user set-password` sets one, or they log in by a provider")


def list_(
    *,
    organization: Annotated[
        str | None, typer.Option("--organization", help="Only of this organization, by its name or id.")
    ] = None,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """List people, and what they are in which organization.

    Example: rowstream user list --organization "Acme Ltd"
    """
    from rowstream.database import users  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        wanted = organization_of(connection, organization).id if organization else None
        found = [_told(user, connection) for user in users.every_user(connection)]
    items = [one for one in found if wanted is None or str(wanted) in {part["id"] for part in one["organizations"]}]
    if json:
        answer_json({"items": items, "next_cursor": None})
        return
    answer_table(
        ["id", "email", "name", "disabled", "is"],
        [
            [
                *(str(one["id"]), one["email"], one["name"], shown(one["disabled_at"])),
                ", ".join(f"{part['role']} in {part['name']}" for part in one["organizations"]),
            ]
            for one in items
        ],
    )


def set_role(
    email: EmailArgument,
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE", help="owner, admin, operator, reviewer, viewer; none: no member.", show_default=False
        ),
    ],
    *,
    organization: OrganizationOption = "default",
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Give a person another role in an organization, make them a member, or with `none` let them go.

    Who is in another organization already gets here by naming this one when they log in. The last owner stays one.

    Example: rowstream user set-role ann@example.org operator --organization "Acme Ltd"
    """
    if role != "none":
        _check_role(role)
    from rowstream.database import members, users  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        owner = organization_of(connection, organization)
        user = _existing(connection, email)
        members.lock(connection, owner.id)
        before = members.find(connection, owner.id, user.id)
        try:
            if before is None and role != "none":
                users.make_member(connection, owner.id, user.id, role, by=f"operator {operator()}")
                _note(connection, owner.id, "member.added", user.id, {"email": user.email, "role": role})
            elif before is not None and role == "none":
                members.remove(connection, owner.id, before)
                _note(connection, owner.id, "member.removed", user.id, {"email": user.email, "role": before.role})
            elif before is not None and role != before.role:
                members.change_role(connection, owner.id, before, role)
                told = {"email": user.email, "from": before.role, "to": role}
                _note(connection, owner.id, "member.role_changed", user.id, told)
        except members.LastOwner as error:
            raise Fatal(str(error)) from error
    if json:
        answer_json({"id": user.id, "email": user.email, "organization": owner.name, "role": role})
    else:
        answer(f"{user.email} is {'no member of' if role == 'none' else f'{role} in'} {owner.name}")


def set_password(
    email: EmailArgument,
    *,
    password_stdin: PasswordOption = False,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Give a person another password, asked for here. All their sessions end.

    Example: rowstream user set-password ann@example.org
    """
    if not password_stdin and not sys.stdin.isatty():
        raise WrongUsage("there is nobody to ask for a password here; give it with --password-stdin")
    password = _from_stdin() if password_stdin else typer.prompt("new password", hide_input=True, err=True)
    password_hash = _hash(password)
    from rowstream.database import sessions, users  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        user = _existing(connection, email)
        sessions.lock(connection, user.id)
        users.set_password(connection, user.id, password_hash)
        sessions.end_all(connection, user.id)
        _note_everywhere(connection, user, "password.changed")
    _say(user.email, "has a new password, and is logged out everywhere", json=json)


def disable(
    email: EmailArgument,
    *,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Let a person in no more, from now on, in any organization. Keys that they made stay: revoke those separately.

    Example: rowstream user disable ann@example.org
    """
    _switch("disable", email, database, state_dir)
    _say(email, "is disabled", json=json)


def enable(
    email: EmailArgument,
    *,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Let a disabled person log in again; what they held before stays ended.

    Example: rowstream user enable ann@example.org
    """
    _switch("enable", email, database, state_dir)
    _say(email, "may log in again", json=json)


def _switch(verb: str, email: str, database: str | None, state_dir: Path) -> None:
    from rowstream.database import users  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        user = _existing(connection, email)
        if (user.disabled_at is None) == (verb == "disable"):
            (users.disable if verb == "disable" else users.enable)(connection, user.id)
            _note_everywhere(connection, user, f"user.{verb}d")


def _check(email: str, name: str | None, role: str) -> None:
    if len(email) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(email.strip()):
        raise WrongUsage(f"{email!r} is no e-mail address")
    if name is not None and not (name.strip() and len(name) <= _LONGEST_NAME and name.isprintable()):
        raise WrongUsage(f"a name has 1 to {_LONGEST_NAME} characters that can be seen")
    _check_role(role)


def _check_role(role: str) -> None:
    from rowstream.database.access_tables import ROLES  # noqa: PLC0415 - as above

    if role not in ROLES:
        raise WrongUsage(f"{role!r} is no role; there are {', '.join(ROLES)}")


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _hash(password: str) -> str:
    from rowstream.runtime.passwords import Unfit, hash_password  # noqa: PLC0415 - as above

    try:
        return hash_password(password)
    except Unfit as error:
        raise WrongUsage(str(error)) from None


def _existing(connection: "Connection", email: str) -> "User":
    from rowstream.database import users  # noqa: PLC0415 - as above

    found = users.find(connection, email)
    if found is None:
        raise Fatal(f"there is no user {email}; `rowstream user list` shows those that there are")
    return found


def _note(
    connection: "Connection", organization_id: UUID, action: str, user_id: UUID, details: Mapping[str, object]
) -> None:
    from rowstream.database import acts  # noqa: PLC0415 - as above

    acts.write_command(connection, organization_id, action, by=operator(), target=str(user_id), details=details)


def _note_everywhere(connection: "Connection", user: "User", action: str) -> None:
    """Note it in the trail of each organization that the person is in."""
    from rowstream.database import users  # noqa: PLC0415 - as above

    for one in users.memberships_of(connection, user.id):
        _note(connection, one.organization_id, action, user.id, {"email": user.email})


def _told(user: "User", connection: "Connection") -> dict[str, Any]:
    """What is shown of a person; never the hash."""
    from rowstream.database import users  # noqa: PLC0415 - as above

    member = [
        {"id": str(one.organization_id), "name": one.organization, "role": one.role}
        for one in users.memberships_of(connection, user.id)
    ]
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "has_password": user.password_hash is not None,
        "organizations": member,
    }


def _say(email: str, what: str, *, json: bool) -> None:
    answer_json({"email": email, "done": what}) if json else answer(f"{email} {what}")
