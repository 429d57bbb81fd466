"""Commands about the bucket: storage apply, storage show. They go to the object store, as the services do."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption, WrongUsage
from rowstream.cli.output import answer_json, answer_table, note
from rowstream.cli.words import counted
from rowstream.errors import Fatal
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    from rowstream.runtime.settings import StorageSettings
    from rowstream.storage.lifecycle import Outcome

ArchiveOption = Annotated[
    str, typer.Option("--archive-class", help="The storage class that originals go to after 90 days.")
]
OriginsOption = Annotated[
    str,
    typer.Option(
        "--origins",
        envvar="ROWSTREAM_HTTP__CORS_ORIGINS",
        help="Origins whose pages send files to the bucket: https://a.example, https://b.example.",
    ),
]


def apply(
    *,
    archive_class: ArchiveOption = "GLACIER",
    origins: OriginsOption = "",
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Put the lifecycle rules, and the origins of pages, into the bucket; rules that are not rowstream's stay.

    Originals go to the archive after 90 days and error exports are removed after 30, as are parts after 7 that nobody
    put together. On a store that keeps no such rules, the gateway removes old exports and parts itself. The bucket is
    the running system's, or that of ROWSTREAM_STORAGE__*, whose credentials must be allowed to change its rules.

    Example: rowstream storage apply --origins https://staff.example
    """
    from rowstream.storage.s3 import S3Store  # noqa: PLC0415 - only these commands need it

    settings = _settings(state_dir)
    lifecycle, wanted = S3Store(settings).lifecycle, _origins(origins)
    rules = lifecycle.apply(settings.bucket, archive_class)
    pages = lifecycle.allow_origins(settings.bucket, wanted) if wanted else None
    _say(settings, rules, pages, wanted, json=json)


def show(
    *,
    archive_class: ArchiveOption = "GLACIER",
    origins: OriginsOption = "",
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Show whether the bucket has the lifecycle rules and the origins of pages; exit code 1 if they differ.

    Example: rowstream storage show
    """
    from rowstream.storage.lifecycle import Outcome  # noqa: PLC0415 - as above
    from rowstream.storage.s3 import S3Store  # noqa: PLC0415 - as above

    settings = _settings(state_dir)
    lifecycle, wanted = S3Store(settings).lifecycle, _origins(origins)
    pages = None
    if wanted:
        there = lifecycle.origins(settings.bucket)
        pages = Outcome.NOT_KEPT if there is None else Outcome.DIFFERS
        if there == frozenset(wanted):
            pages = Outcome.AS_WANTED
    _say(settings, lifecycle.state(settings.bucket, archive_class), pages, wanted, json=json)


def _say(
    settings: "StorageSettings", rules: "Outcome", pages: "Outcome | None", origins: list[str], *, json: bool
) -> None:
    from rowstream.storage.lifecycle import PARTS_DAYS, RULES, Outcome  # noqa: PLC0415 - as above

    if json:
        listed = [
            {"prefix": rule.prefix, "archive_days": rule.archive_days, "remove_days": rule.remove_days}
            for rule in RULES
        ]
        found = {"bucket": settings.bucket, "rules": rules, "wanted": listed, "parts_days": PARTS_DAYS}
        answer_json({**found, "origins": pages, "wanted_origins": origins})
    else:
        rows = [
            *(
                [rule.prefix, _days("archived", rule.archive_days), _days("removed", rule.remove_days), rules]
                for rule in RULES
            ),
            ["unfinished parts", "", _days("removed", PARTS_DAYS), rules],
        ]
        if pages is not None:
            rows.append(["pages of", ", ".join(origins), "", pages])
        answer_table(["objects", "", "", f"bucket {settings.bucket}"], rows)
    if Outcome.DIFFERS in {rules, pages}:
        if not json:
            note("`rowstream storage apply` puts them there")
        raise typer.Exit(1)


def _days(what: str, days: int | None) -> str:
    return "" if days is None else f"{what} after {counted(days, 'day')}"


def _origins(text: str) -> list[str]:
    origins = [part.strip() for part in text.split(",") if part.strip()]
    for origin in origins:
        if not origin.startswith(("http://", "https://")):
            raise WrongUsage(f"{origin!r} is no origin such as https://staff.example")
    return origins


def _settings(state_dir: Path) -> "StorageSettings":
    """The bucket that the environment names; without one, that of the running system.

    Raises:
        Fatal: neither is there, or the environment says something that cannot be.
    """
    from rowstream.runtime.settings import ServiceSettings, StorageSettings  # noqa: PLC0415 - as above

    storage = ServiceSettings.load().storage
    if any(os.environ.get(f"ROWSTREAM_STORAGE__{name}") for name in ("ENDPOINT_URL", "BUCKET")):
        return storage
    system = Addresses.saved(StateDir(state_dir))
    if system is None:
        raise Fatal(
            f"no system runs on {state_dir}: start one with `rowstream up`, or name a bucket with"
            " ROWSTREAM_STORAGE__ENDPOINT_URL and ROWSTREAM_STORAGE__BUCKET"
        )
    there = {"endpoint_url": system.storage or None, "bucket": system.bucket}
    unchecked = {"access_key_id": "embedded", "secret_access_key": "embedded"} if not storage.access_key_id else {}
    # The embedded store looks at no credentials, but the client wants some.
    return StorageSettings.model_validate({**storage.model_dump(), **there, **(unchecked if system.storage else {})})
