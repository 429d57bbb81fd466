"""Commands about kinds of record: record-types, template, sample."""

import io
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.files import output_file
from rowstream.cli.options import ForceOption, JsonOption, WrongUsage
from rowstream.cli.output import answer, answer_json, answer_table

if TYPE_CHECKING:
    from rowstream.records import RecordType

TypeArgument = Annotated[
    str,
    typer.Argument(metavar="TYPE", help="The record type; `rowstream record-types` lists them.", show_default=False),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write; without it, standard output.")
]


def record_types(*, json: JsonOption = False) -> None:
    """List the record types that are installed here: what a file may hold.

    Example: rowstream record-types
    """
    from rowstream.records.registry import record_types as installed  # noqa: PLC0415 - heavy, only needed here

    types = list(installed().values())
    if json:
        answer_json({"items": [_described(one) for one in types], "next_cursor": None})
        return
    for one in types:
        answer(f"{one.name} {one.version}: {one.title}")
        answer_table(
            [],
            [
                ["  table", one.table],
                ["  key", ", ".join(one.key)],
                ["  required", ", ".join(one.required)],
                ["  optional", ", ".join(column for column in one.columns if column not in one.required)],
            ],
        )


def template(record_type: TypeArgument, *, output: OutputOption = None, force: ForceOption = False) -> None:
    """Write a CSV file to fill in: the header, and two records as examples.

    Example: rowstream template member_certification --output members.csv
    """
    from rowstream.records import sample as samples  # noqa: PLC0415 - heavy, only needed here

    text = samples.template(_find(record_type))
    with output_file(output, force=force) as target:
        target.write(text.encode())


def sample(
    record_type: TypeArgument,
    *,
    rows: Annotated[int, typer.Option(min=0, help="How many records.", show_default=False)],
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of the records that have a fault.")] = 0.01,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share that repeat an earlier record.")] = 0.005,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another file; the same one, the same.")] = 0,
    output: OutputOption = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Also write what must be rejected: a JSON object a line with row_number, error_code, error_codes."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write a realistic file of records, some with faults planted, to try things with.

    Example: rowstream sample member_certification --rows 10000 --output members.csv --truth truth.jsonl
    """
    from rowstream.records import sample as samples  # noqa: PLC0415 - heavy, only needed here

    if bad + duplicates > 1:
        raise WrongUsage("--bad and --duplicates are shares of the same records: together they may be 1 at most")
    found = _find(record_type)
    with ExitStack() as files:
        target = files.enter_context(output_file(output, force=force))
        truths = None
        if truth:
            unwrapped = files.enter_context(output_file(truth, force=force))
            truths = io.TextIOWrapper(unwrapped, encoding="utf-8", write_through=True)
            files.callback(truths.detach)  # the file below it is closed by its own context
        samples.write_sample(found, rows, output=target, truth=truths, bad=bad, duplicates=duplicates, seed=seed)


def _find(name: str) -> "RecordType":
    from rowstream.records import registry  # noqa: PLC0415 - heavy, only needed here

    try:
        return registry.find(name)
    except registry.UnknownRecordType as error:
        raise WrongUsage(str(error)) from error


def _described(one: "RecordType") -> dict[str, object]:
    return {
        "name": one.name,
        "title": one.title,
        "version": one.version,
        "table": one.table,
        "columns": one.columns,
        "required": one.required,
        "key": one.key,
    }
