"""Commands about organizations: org create, list, show, set, close. They go to the database, as migrate does."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from rowstream.cli.operators import DatabaseOption, operator, organization_of, shown, transaction
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table
from rowstream.cli.words import count
from rowstream.errors import Fatal
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rowstream.database.organizations import Organization

_LARGEST = 2**63 - 1
_LONGEST_NAME = 200
_QUOTAS = ("max_upload_bytes", "max_records_a_day", "max_open_uploads", "requests_per_minute")
_SMALLER = {"max_open_uploads": 2**31 - 1, "requests_per_minute": 10_000_000}

OrganizationArgument = Annotated[
    str, typer.Argument(metavar="ORGANIZATION", help="The organization, by its name or id.", show_default=False)
]
PolicyOption = Annotated[
    str | None, typer.Option("--duplicate-policy", help="Of files whose bytes came before: refuse, warn or allow.")
]
UploadBytesOption = Annotated[str | None, typer.Option("--max-upload-bytes", help="Bytes of one file, or none.")]
RecordsOption = Annotated[
    str | None, typer.Option("--max-records-a-day", help="Records accepted in any 24 hours, or none.")
]
OpenOption = Annotated[str | None, typer.Option("--max-open-uploads", help="Uploads accepted and not ended, or none.")]
RequestsOption = Annotated[
    str | None,
    typer.Option(
        "--requests-per-minute", help="Of all its keys and people together, or none; counts within half a minute."
    ),
]


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, which no other has.", show_default=False)],
    *,
    duplicate_policy: PolicyOption = None,
    max_upload_bytes: UploadBytesOption = None,
    max_records_a_day: RecordsOption = None,
    max_open_uploads: OpenOption = None,
    requests_per_minute: RequestsOption = None,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Make an organization: of what it hands in, nobody else sees a row.

    Example: rowstream org create "Acme Ltd" --max-upload-bytes 5000000000
    """
    given = (max_upload_bytes, max_records_a_day, max_open_uploads, requests_per_minute)
    chosen = _chosen(name, duplicate_policy, dict(zip(_QUOTAS, given, strict=True)))
    from rowstream.database import acts, organizations  # noqa: PLC0415 - only commands that go to the database need it

    with transaction(database, state_dir) as connection:
        try:
            made = organizations.make(connection, **chosen)
        except organizations.NameTaken as error:
            raise Fatal(str(error)) from error
        acts.write_command(connection, made.id, "organization.made", by=operator(), target=str(made.id), details=chosen)
    _say(made, json=json)


def list_(
    *, database: DatabaseOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR, json: JsonOption = False
) -> None:
    """List all organizations, those that are closed too.

    Example: rowstream org list
    """
    from rowstream.database import organizations  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        found = organizations.every(connection)
    if json:
        answer_json({"items": [asdict(one) for one in found], "next_cursor": None})
        return
    answer_table(
        ["id", "name", "created", "closed"],
        [[str(one.id), one.name, shown(one.created_at), shown(one.closed_at)] for one in found],
    )


def show(
    organization: OrganizationArgument,
    *,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Show one organization: what it has chosen, and its quotas.

    Example: rowstream org show default
    """
    with transaction(database, state_dir) as connection:
        found = organization_of(connection, organization)
    _say(found, json=json)


def set_(
    organization: OrganizationArgument,
    *,
    name: Annotated[str | None, typer.Option(help="A new name, which no other has.")] = None,
    duplicate_policy: PolicyOption = None,
    max_upload_bytes: UploadBytesOption = None,
    max_records_a_day: RecordsOption = None,
    max_open_uploads: OpenOption = None,
    requests_per_minute: RequestsOption = None,
    reopen: Annotated[bool, typer.Option("--reopen", help="Open it again, if it is closed.")] = False,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Change an organization: its name, what it chooses, its quotas; what is left out stays, `none` takes a quota away.

    Example: rowstream org set "Acme Ltd" --max-records-a-day 1000000 --requests-per-minute none
    """
    given = (max_upload_bytes, max_records_a_day, max_open_uploads, requests_per_minute)
    chosen = _chosen(name, duplicate_policy, dict(zip(_QUOTAS, given, strict=True)))
    if reopen:
        chosen["closed_at"] = None
    if not chosen:
        raise WrongUsage("nothing is to be changed; `rowstream org set --help` says what can be")
    from rowstream.database import acts, organizations  # noqa: PLC0415 - as above

    with transaction(database, state_dir) as connection:
        before = organization_of(connection, organization)
        try:
            after = organizations.change(connection, before.id, chosen)
        except organizations.NameTaken as error:
            raise Fatal(str(error)) from error
        acts.write_command(
            connection, before.id, "organization.changed", by=operator(), target=str(before.id), details=chosen
        )
    _say(after or before, json=json)


def close(
    organization: OrganizationArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    database: DatabaseOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Close an organization: from now on its keys and log-ins are refused. Its uploads come to their end, all stays.

    It says what will stop, and asks. `rowstream org set NAME --reopen` opens it again.

    Example: rowstream org close "Acme Ltd"
    """
    from rowstream.database import acts, organizations  # noqa: PLC0415 - as above

    if not yes:
        with transaction(database, state_dir) as connection:
            what_stops = _what_stops(connection, organization_of(connection, organization), state_dir)
        _ask(what_stops)
    with transaction(database, state_dir) as connection:
        found = organization_of(connection, organization)
        if found.closed_at is None:
            organizations.close(connection, found.id)
            acts.write_command(connection, found.id, "organization.closed", by=operator(), target=str(found.id))
        closed = organizations.find(connection, found.id) or found
    if json:
        answer_json(asdict(closed))
    else:
        answer(f"{closed.name} ({closed.id}) is closed; `rowstream org set {closed.id} --reopen` opens it again")


def _what_stops(connection: "Connection", organization: "Organization", state_dir: Path) -> str | None:
    """What the closing of an organization ends, for people to read; None if it is closed already."""
    from rowstream.database import keys  # noqa: PLC0415 - as above

    if organization.closed_at:
        return None
    valid = [key for key in keys.stored_keys(connection, organization.id) if key.state == "valid"]
    said = f"closing {organization.name} ends its people's log-ins and its keys, {count(len(valid))} of them valid now"
    system = Addresses.saved(StateDir(state_dir))
    holder = keys.holder_of(connection, system.api_key) if system else None
    if holder is not None and holder.organization_id == organization.id:
        said += (
            f"; one of them is the key of the commands on {state_dir}: upload, status and all others that ask the API"
        )
    return said


def _ask(what_stops: str | None) -> None:
    """Go on only if somebody agrees.

    Raises:
        WrongUsage: there is nobody to ask.
        Fatal: they do not agree.
    """
    if what_stops is None:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(f"{what_stops}; there is nobody to ask here, so give --yes if that is what you want")
    if not typer.confirm(f"{what_stops}. Close it?", err=True):
        raise Fatal("nothing was changed")


def _chosen(name: str | None, policy: str | None, quotas: dict[str, str | None]) -> dict[str, Any]:
    """What was given, as columns; pure.

    Raises:
        WrongUsage: something cannot be.
    """
    from rowstream.database.access_tables import DUPLICATE_POLICIES  # noqa: PLC0415 - as above

    chosen: dict[str, Any] = {}
    if name is not None:
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise WrongUsage(f"an organization needs a name, of at most {_LONGEST_NAME} characters that can be seen")
        if _is_id(name):
            raise WrongUsage("a name must not look like an id, since each organization is found by either")
        chosen["name"] = name.strip()
    if policy is not None:
        if policy not in DUPLICATE_POLICIES:
            raise WrongUsage(f"--duplicate-policy is {', '.join(DUPLICATE_POLICIES[:-1])} or {DUPLICATE_POLICIES[-1]}")
        chosen["duplicate_policy"] = policy
    return chosen | {column: _quota(column, text) for column, text in quotas.items() if text is not None}


def _is_id(name: str) -> bool:
    try:
        UUID(name.strip())
    except ValueError:
        return False
    return True


def _quota(column: str, text: str) -> int | None:
    """A quota as it is typed; pure.

    Raises:
        WrongUsage: it is none.
    """
    if text == "none":
        return None
    most = _SMALLER.get(column, _LARGEST)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise WrongUsage(f"--{column.replace('_', '-')} takes a number from 1 to {most}, or none")
    return int(text)


def _say(organization: "Organization", *, json: bool) -> None:
    if json:
        answer_json(asdict(organization))
        return
    facts = asdict(organization)
    quotas = ((name.replace("_", " "), facts[name]) for name in _QUOTAS)
    rows = [
        ("id", str(organization.id)),
        ("name", organization.name),
        ("created", shown(organization.created_at)),
        ("closed", shown(organization.closed_at, "no")),
        ("duplicate policy", organization.duplicate_policy),
        *((name, "none" if number is None else count(number)) for name, number in quotas),
    ]
    for name, value in rows:
        answer(f"{name:<20} {value}")
