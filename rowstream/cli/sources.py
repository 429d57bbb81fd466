"""The command `sources check`: what a sources file means, before a gateway goes by it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.options import JsonOption
from rowstream.cli.output import answer, answer_json, answer_table, note

if TYPE_CHECKING:
    from rowstream.runtime.sources import S3Source, SftpSource

_SSH = 22


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sources file (TOML).", show_default=False)],
    *,
    json: JsonOption = False,
) -> None:
    """Read a sources file as the gateway does, and say what it means; exit code 1 if it is wrong.

    The files that it names must be here too. Whether its organizations exist, and what the other side's servers say,
    is not looked at.

    Example: rowstream sources check sources.toml
    """
    from rowstream.runtime.sources import read  # noqa: PLC0415 - brings the record types, which only this verb needs

    sources = read(file)
    if json:
        answer_json(sources.model_dump(mode="json"))
    elif not sources.s3 and not sources.sftp:
        answer(f"{file} names no source: nothing is taken; a source is a table [[s3]] or [[sftp]]")
    else:
        answer_table(
            ["source", "takes", "for", "as"],
            [
                *([one.name, _objects(one), one.organization, one.record_type] for one in sources.s3),
                *([one.name, _files(one), one.organization, one.record_type] for one in sources.sftp),
            ],
        )
    missing = [
        f"{one.name}: there is no {what} {path}"
        for one in sources.sftp
        for what, path in (("private_key_file", one.private_key_file), ("known_hosts_file", one.known_hosts_file))
        if not path.is_file()
    ]
    for line in missing:
        note(line)
    if missing:
        raise typer.Exit(1)


def _objects(source: "S3Source") -> str:
    ending = f", those that end with {source.suffix}" if source.suffix else ""
    return f"objects under s3://{source.bucket}/{source.prefix}{ending}"


def _files(source: "SftpSource") -> str:
    port = "" if source.port == _SSH else f":{source.port}"
    return (
        f"{source.pattern} in {source.folder} of {source.username}@{source.host}{port} every"
        f" {source.every_seconds:g} s; finished {_finished(source)}; {_afterwards(source)}"
    )


def _finished(source: "SftpSource") -> str:
    if source.settled_seconds is not None:
        return f"when unchanged for {source.settled_seconds:g} s"
    if source.done_marker is not None:
        return f"when its {source.done_marker} is there"
    return f"when not named as {source.rename}"


def _afterwards(source: "SftpSource") -> str:
    if source.move_to is not None:
        return f"taken ones go to {source.move_to}"
    return f"taken ones get a {source.mark} beside them" if source.mark is not None else "taken ones stay"
