"""Commands about uploads: upload, status, errors."""

import http
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from rowstream.cli import asking, progress, summary
from rowstream.cli.client import ApiError, api, find
from rowstream.cli.figures import ENDED, SUCCEEDED
from rowstream.cli.files import output_file
from rowstream.cli.local_file import local_file
from rowstream.cli.options import DEFAULT_STATE_DIR, ForceOption, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_rich, note
from rowstream.cli.sending import PARTS_ABOVE, Interrupted, send
from rowstream.errors import Fatal

if TYPE_CHECKING:
    import httpx

    from rowstream.cli.asking import Upload

_INTERRUPTED = 130


def upload(
    file: Annotated[Path, typer.Argument(help="The file: CSV, UTF-8, with a header.", show_default=False)],
    *,
    record_type: Annotated[
        str,
        typer.Option(
            "--record-type",
            "-t",
            help="What each record is; `rowstream record-types` lists what there is.",
            show_default=False,
        ),
    ],
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait until every record has its outcome. Without either: wait in a terminal, and leave in a script "
            "or with --json as soon as the upload is accepted, since from then on it cannot be lost.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Go on with an upload of this very file that broke off, or begin anew.",
        ),
    ] = True,
    parts_above: Annotated[
        int,
        typer.Option(
            envvar="ROWSTREAM_PARTS_ABOVE",
            min=0,
            metavar="BYTES",
            help="A file with more bytes is sent in parts, some side by side; one that was begun so is gone on with, "
            "whatever this says then.",
        ),
    ] = PARTS_ABOVE,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Upload a file, and see what becomes of its records.

    A large file is sent in parts. If that breaks off, by Ctrl-C, a cut line or anything else, the same command goes on
    from there, tomorrow as well; uploads that nobody goes on with are given up after a week.

    Exits with 0 if the upload is accepted or, with --wait, completed; with 1 if it failed or was cancelled; with 2 on
    wrong usage, if the key is not let in, or if no system runs. Rejected records are an outcome, not a failure.

    Example: rowstream upload members.csv --record-type member_certification --wait
    """
    watched = sys.stderr.isatty() and not json
    with local_file(file) as source, api(find(state_dir)) as client:
        with progress.view(source.name, source.size, silent=json) as view:
            with may_be_resumed(file, record_type, parts_above, state_dir):
                found = send(client, source, record_type, view.sent, parts_above=parts_above, resume=resume)
            if wait or (wait is None and watched):
                with going_on(found["id"], state_dir):
                    found = asking.follow(client, found["id"], view.seen)
        if json:
            answer_json(found)
        else:
            show(client, found, state_dir)
    if found["status"] in ENDED - SUCCEEDED:
        raise typer.Exit(1)


def status(
    upload_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One upload; without it, the newest ones.", show_default=False)
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many of the newest uploads to list.")] = 20,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """List the newest uploads, or show one: where it stands, and what became of its records.

    Example: rowstream status --limit 50
    """
    with known(upload_id), api(find(state_dir)) as client:
        if upload_id is None:
            page = asking.uploads(client, limit)
            _list(page, json=json)
            return
        found = asking.upload(client, upload_id)
        if json:
            answer_json(found)
            return
        for name, value in summary.details(found):
            answer(f"{name:<12} {value}")
        show(client, found, state_dir)


def errors(
    upload_id: Annotated[str, typer.Argument(metavar="ID", help="The upload.", show_default=False)],
    *,
    form: Annotated[
        Literal["csv", "json"],
        typer.Option(
            "--format",
            help="csv: the file's own columns, then row_number, error_code and error_message, to be corrected and "
            "handed in again. json: one object a line, with every error of each record.",
        ),
    ] = "csv",
    code: Annotated[str | None, typer.Option(help="Only records with this error code, such as VAL_002.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; without it, standard output.")
    ] = None,
    force: ForceOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Get the rejected records of an upload, each with what was wrong.

    A file that is there is left alone, since it may have been corrected meanwhile; --force replaces it.

    Example: rowstream errors 019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f --output rejected.csv
    """
    with known(upload_id), api(find(state_dir)) as client:
        blocks = asking.report(client, upload_id, "jsonl" if form == "json" else "csv", code)
        with output_file(output, force=force) as target:
            for block in blocks:
                target.write(block)
    if output:
        note(f"{output} written")


def _list(page: Mapping[str, Any], *, json: bool) -> None:
    if json:
        answer_json(page)
    elif page["items"]:
        answer_rich(summary.listing(page["items"], datetime.now(UTC)))
    else:
        answer("no uploads yet; `rowstream upload FILE --record-type TYPE` makes one")


def show(client: "httpx.Client", found: "Upload", state_dir: Path) -> None:
    """Say what became of an upload, and what can be done next."""
    answer(summary.headline(found))
    if found.get("duplicate_of") and not found["failure_code"]:
        answer(f"the same file as upload {found['duplicate_of']}")
    if found["processed_records"]:
        answer("")
        answer_rich(summary.outcomes(found, asking.examples(client, found)))
    if found["status"] not in ENDED:
        answer(f"see how it goes: rowstream status {found['id']}{here(state_dir)}")
    elif found["failed_records"]:
        answer("")
        answer("get what was rejected, to correct it and hand it in again, with")
        answer(f"  rowstream errors {found['id']}{here(state_dir)} --output rejected.csv")


@contextmanager
def known(upload_id: str | None) -> Iterator[None]:
    """Say of an upload that nobody knows what this command offers; the API's own words are for programs.

    Raises:
        WrongUsage: that is no id of an upload at all.
        Fatal: there is no such upload.
    """
    try:
        if upload_id is not None:
            UUID(upload_id)
    except ValueError:
        raise WrongUsage(f"{upload_id!r} is no id of an upload; `rowstream status` lists the newest") from None
    try:
        yield
    except ApiError as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        raise Fatal(f"there is no upload {upload_id}; `rowstream status` lists the newest") from error


@contextmanager
def going_on(upload_id: str, state_dir: Path) -> Iterator[None]:
    """Say on Ctrl-C that the upload goes on; to leave off waiting is not to cancel."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"the upload goes on; rowstream status {upload_id}{here(state_dir)} shows how")
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def may_be_resumed(file: Path, record_type: str, parts_above: int, state_dir: Path) -> Iterator[None]:
    """Say on Ctrl-C how to go on with what was sent so far."""
    try:
        yield
    except Interrupted:
        above = "" if parts_above == PARTS_ABOVE else f" --parts-above {parts_above}"
        command = f"rowstream upload {shlex.quote(str(file))} --record-type {record_type}{above}{here(state_dir)}"
        note(f"what was sent is kept; {command} goes on from there")
        raise typer.Exit(_INTERRUPTED) from None


def here(state_dir: Path) -> str:
    """What a further command needs to find the same system."""
    return "" if state_dir == DEFAULT_STATE_DIR else f" --state-dir {shlex.quote(str(state_dir))}"
