"""Commands about records that were given up on: dead-letters list, show, redrive."""

import http
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from rowstream.cli import asking, control
from rowstream.cli.client import ApiError, api, find
from rowstream.cli.control import WaitOption
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.cli.uploads import here, known
from rowstream.cli.words import count, counted, moment
from rowstream.errors import Fatal

if TYPE_CHECKING:
    from rowstream.cli.asking import DeadLetter

LetterArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The dead letter, as `rowstream dead-letters list` names it.", show_default=False
    ),
]

_LIST = "`rowstream dead-letters list` shows them"


def list_(
    *,
    upload_id: Annotated[str | None, typer.Option("--upload", help="Only those of this upload.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many of the newest.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Go on behind another page: its next_cursor.", show_default=False)
    ] = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """List what was given up on, for reasons that are not in the files: the newest first.

    Example: rowstream dead-letters list
    """
    with known(upload_id), api(find(state_dir)) as client, _fitting(cursor):
        page = asking.dead_letters(client, upload_id, limit, cursor)
        if upload_id and not page["items"]:
            asking.upload(client, upload_id)  # none of an upload that there is, or there is no such upload
    if json:
        answer_json(page)
    elif not page["items"]:
        answer("nothing was given up on")
    else:
        answer_table(
            ["id", "upload", "rows", "records", "code", "tries", "given up", "redriven"],
            [
                [
                    *(one["id"], one["upload_id"], _rows(one), count(one["records"]), one["error_code"]),
                    *(str(one["tries"]), moment(one["created_at"]), moment(one["redriven_at"])),
                ]
                for one in page["items"]
            ],
        )
        if page["next_cursor"]:
            note(f"there are more: --limit, or --cursor {page['next_cursor']}")


def show(letter_id: LetterArgument, *, state_dir: StateDirOption = DEFAULT_STATE_DIR, json: JsonOption = False) -> None:
    """Show which records were given up on, why, and what can be done.

    Example: rowstream dead-letters show 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f
    """
    found = _find(letter_id, state_dir)
    if json:
        answer_json(found)
        return
    for name, value in _details(found):
        answer(f"{name:<12} {value}")
    if found["upload_status"] == "failed" and not found["redriven_at"]:
        answer(f"when its cause is gone: rowstream dead-letters redrive {found['id']}{here(state_dir)}")


def redrive(
    letter_id: LetterArgument,
    *,
    wait: WaitOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Try again what was given up on: retries its upload, with all else that has no outcome there.

    The records come from the stored file; nobody has to hand it in again. Exits with 1 if the upload failed again.

    Example: rowstream dead-letters redrive 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f --wait
    """
    found = _find(letter_id, state_dir)
    control.again(found["upload_id"], wait=wait, state_dir=state_dir, json=json)


def _find(letter_id: str, state_dir: Path) -> "DeadLetter":
    with _known(letter_id), api(find(state_dir)) as client:
        return asking.dead_letter(client, letter_id)


@contextmanager
def _known(letter_id: str) -> Iterator[None]:
    try:
        UUID(letter_id)
    except ValueError:
        raise WrongUsage(f"{letter_id!r} is no id of a dead letter; {_LIST}") from None
    try:
        yield
    except ApiError as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        raise Fatal(f"there is no dead letter {letter_id}; {_LIST}") from error


@contextmanager
def _fitting(cursor: str | None) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if cursor is None or error.status != http.HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        raise WrongUsage(f"--cursor {cursor!r} is no next_cursor of this list; leave it out to begin anew") from error


def _details(letter: "DeadLetter") -> list[tuple[str, str]]:
    return [
        ("dead letter", letter["id"]),
        ("upload", f"{letter['upload_id']} ({letter['filename']}, {letter['upload_status'].replace('_', ' ')})"),
        ("records", f"{counted(letter['records'], 'record')} of rows {_rows(letter) or 'that nobody can tell'}"),
        ("chunk", "" if letter["chunk_number"] is None else f"{letter['chunk_number']}, attempt {letter['attempt']}"),
        ("reason", f"{letter['error_code']}: {letter['reason']}"),
        ("tries", str(letter["tries"])),
        ("given up", moment(letter["created_at"])),
        ("redriven", moment(letter["redriven_at"]) or "not yet"),
    ]


def _rows(letter: "DeadLetter") -> str:
    first, last = letter["first_row"], letter["last_row"]
    return "" if first is None or last is None else f"{count(first)} to {count(last)}"
