"""Commands that steer one upload: pause, resume, cancel, retry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli import asking, progress, summary
from rowstream.cli.client import api, find
from rowstream.cli.figures import ENDED, SUCCEEDED
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption
from rowstream.cli.output import answer, answer_json, note
from rowstream.cli.uploads import going_on, here, known, show
from rowstream.cli.words import counted

if TYPE_CHECKING:
    import httpx

    from rowstream.cli.asking import Upload

UploadArgument = Annotated[str, typer.Argument(metavar="ID", help="The upload.", show_default=False)]
WaitOption = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait until the upload has come to its end. Without either: wait in a terminal, and leave at once in a "
        "script or with --json.",
        show_default=False,
    ),
]

_FOLLOWS_SECONDS = 15.0
_UNDONE_SECONDS = 60.0


def pause(
    upload_id: UploadArgument, *, state_dir: StateDirOption = DEFAULT_STATE_DIR, json: JsonOption = False
) -> None:
    """Let an upload rest: no further record of it is begun until it is resumed. To pause it twice does no harm.

    Exits with 1 if it has ended already; an upload that has not may be paused at any moment.

    Example: rowstream pause 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f
    """
    with _order(upload_id, "pause", state_dir) as (client, _):
        found = asking.until(client, upload_id, lambda now: now["status"] in ENDED | {"paused"}, _FOLLOWS_SECONDS)
    if json:
        answer_json(found)
    elif found["status"] == "paused":
        answer(f"{summary.headline(found)}, with the outcome of {counted(found['processed_records'], 'record')}")
        answer(f"go on with: rowstream resume {upload_id}{here(state_dir)}")
    else:
        _say(found, "pauses", state_dir)


def resume(
    upload_id: UploadArgument, *, state_dir: StateDirOption = DEFAULT_STATE_DIR, json: JsonOption = False
) -> None:
    """Go on with a paused upload where it was. One that is not paused goes on as it did.

    Exits with 1 if it has ended.

    Example: rowstream resume 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f
    """
    with _order(upload_id, "resume", state_dir) as (client, _):
        found = asking.until(client, upload_id, lambda now: now["status"] != "paused", _FOLLOWS_SECONDS)
    if json:
        answer_json(found)
    else:
        _say(found, "goes on", state_dir)


def cancel(
    upload_id: UploadArgument,
    *,
    undo: Annotated[
        bool, typer.Option("--undo", help="Also take out again the rows that it has loaded; without it they stay.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """End an upload for good: nothing more of it is worked on. Its rejected records can still be got.

    A cancelled upload can be undone later: cancel it again, with --undo. Exits with 1 if the upload has completed, as
    nothing is left to cancel then; its rows stay.

    Example: rowstream cancel 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f --undo
    """
    with _order(upload_id, "cancel", state_dir, undo=undo) as (client, _):
        found = asking.until(client, upload_id, lambda now: now["status"] in ("cancelled", "failed"), _FOLLOWS_SECONDS)
        if undo and found["status"] == "cancelled":
            found = asking.until(client, upload_id, lambda now: bool(now["undone_at"]), _UNDONE_SECONDS)
    if json:
        answer_json(found)
    elif found["status"] == "cancelled":
        answer(f"{summary.headline(found)}; {summary.fate_of_rows(found)}")
    else:
        _say(found, "is being cancelled", state_dir)


def retry(
    upload_id: UploadArgument,
    *,
    wait: WaitOption = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Try a failed upload again, from its stored file: all that has no outcome yet, and nothing that has one.

    Exits with 1 if it failed again or was cancelled.

    Example: rowstream retry 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f --wait
    """
    again(upload_id, wait=wait, state_dir=state_dir, json=json)


def again(upload_id: str, *, wait: bool | None, state_dir: Path, json: bool) -> None:
    """Retry an upload and say what became of it; exits with 1 if it ended badly while that was waited for."""
    with _order(upload_id, "retry", state_dir) as (client, begun):
        found = begun
        if wait or (wait is None and sys.stderr.isatty() and not json):
            with (
                progress.view(found["filename"], found["size_bytes"] or 0, silent=json) as view,
                going_on(upload_id, state_dir),
            ):
                found = asking.follow(client, upload_id, view.seen)
        if json:
            answer_json(found)
        else:
            answer(f"attempt {found['attempt']}")
            if found["status"] in ENDED:
                show(client, found, state_dir)
            else:  # its counts are still those that the attempt before left
                answer(summary.headline(found))
                answer(f"see how it goes: rowstream status {found['id']}{here(state_dir)}")
    if found["status"] in ENDED - SUCCEEDED:
        raise typer.Exit(1)


@contextmanager
def _order(upload_id: str, verb: str, state_dir: Path, **said: bool) -> Iterator[tuple["httpx.Client", "Upload"]]:
    """The request itself, and a client to see what comes of it."""
    with known(upload_id), api(find(state_dir)) as client:
        yield client, asking.order(client, upload_id, verb, **said)


def _say(found: "Upload", what: str, state_dir: Path) -> None:
    answer(summary.headline(found))
    if found["status"] not in ENDED:
        note(f"it {what} as soon as the system has seen it: rowstream status {found['id']}{here(state_dir)}")
