"""What became of an upload, for people: a headline, and a table of its records' outcomes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rowstream.cli.words import age, count, counted, moment, rate, size, span

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from rowstream.cli.asking import Rejection, Upload

_REJECTED = "rejected"
_MARKS = {"completed": "✓", "needs_review": "✓", "failed": "✗", "cancelled": "✗"}


def headline(upload: "Upload") -> str:
    """`✓ members.csv completed: 20,000 records in 1.9 s (10,526 records/s)`; of a failure, its reason."""
    status, name = upload["status"], upload["filename"]
    said = f"{_MARKS.get(status, '·')} {name} {status.replace('_', ' ')}"
    if upload["failure_code"]:
        return f"{said}, {upload['failure_code']}: {upload['failure_message']}"
    if status not in _MARKS or upload["total_records"] is None or upload["duration_ms"] is None:
        return said
    seconds = upload["duration_ms"] / 1000
    fast = rate(upload["total_records"], seconds) if upload["total_records"] else ""
    return f"{said}: {counted(upload['total_records'], 'record')} in {span(seconds)}" + (f" ({fast})" if fast else "")


def outcomes(upload: "Upload", examples: Mapping[str, "Rejection"]) -> "Table":
    """The outcomes of an upload's records and, for each error code, how many have it and an example.

    Args:
        upload: as the API shows it.
        examples: a rejected record for each code, where there is one.
    """
    from rich.table import Table  # noqa: PLC0415 - only where somebody looks
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, number, style in _totals(upload):
        about = Text("for example", "dim") if name == _REJECTED and examples else ""
        table.add_row(Text(name, style), Text(count(number), style), about)
    for code, number in sorted(upload["errors_by_code"].items()):
        table.add_row(Text(f"  {code}"), Text(count(number)), _example(examples.get(code)))
    return table


def details(upload: "Upload") -> list[tuple[str, str]]:
    """What an upload is, as names and values."""
    file_size = "" if upload["size_bytes"] is None else f" ({size(upload['size_bytes'])})"
    took = "" if upload["duration_ms"] is None else f" ({span(upload['duration_ms'] / 1000)})"
    accepted = moment(upload["accepted_at"]) or "not yet: its file was not confirmed"
    times = [("accepted", accepted), ("ended", moment(upload["completed_at"]) + took)]
    return [
        ("upload", str(upload["id"])),
        ("file", upload["filename"] + file_size),
        ("record type", upload["record_type"]),
        ("came by", f"{upload['source_type']}, {upload['created_by']}"),
        *(times if upload["completed_at"] else times[:1]),
        *([("same file as", f"upload {upload['duplicate_of']}")] if upload.get("duplicate_of") else []),
        *_asked(upload),
        ("correlation", upload["correlation_id"]),
    ]


def _asked(upload: "Upload") -> list[tuple[str, str]]:
    """What people asked of an upload, as far as it is out of the ordinary."""
    asked = []
    if upload["attempt"] > 1:
        asked.append(("attempt", str(upload["attempt"])))
    if upload["requested"] == "pause" and upload["status"] != "paused":
        asked.append(("asked to", "pause"))
    if upload["requested"] == "cancel":
        asked.append(("loaded rows", fate_of_rows(upload)) if upload["completed_at"] else ("asked to", "end"))
    return asked


def fate_of_rows(upload: "Upload") -> str:
    """What became of the rows that a cancelled upload had loaded."""
    rows = upload["succeeded_records"]
    if upload["undone_at"]:
        return f"{counted(upload['undone_records'], 'loaded row')} taken out again"
    if upload["undo"]:
        return f"its {counted(rows, 'loaded row')} are being taken out again"
    return f"its {counted(rows, 'loaded row')} stay" if rows else "it had loaded nothing"


def listing(uploads: Sequence["Upload"], now: datetime) -> "Table":
    """Uploads, one a line, as old as they are `now`."""
    from rich.table import Table  # noqa: PLC0415 - only where somebody looks
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in ("records", "loaded", "rejected", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    for one in uploads:
        total = one["total_records"] if one["total_records"] is not None else one["records_split"]
        numbers = [count(number) for number in (total, one["succeeded_records"], one["failed_records"])]
        stands = ", ".join(filter(None, (one["status"].replace("_", " "), one["failure_code"], _undoing(one))))
        table.add_row(one["id"], stands, *numbers, age(one["created_at"], now), Text(one["filename"]))
    return table


def _undoing(upload: "Upload") -> str:
    return "undone" if upload["undone_at"] else "being undone" if upload["undo"] else ""


def message(rejection: "Rejection") -> str:
    """The first error of a rejected record in words, and how many more it has."""
    more = len(rejection["errors"]) - 1
    return str(rejection["error_message"]) + (f" (and {counted(more, 'more fault')})" if more > 0 else "")


def _example(rejection: "Rejection | None") -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only where somebody looks

    if rejection is None:
        return Text()
    return Text.assemble(f"row {count(rejection['row_number'])}: ", (message(rejection), "dim"))


def _totals(upload: "Upload") -> list[tuple[str, int, str]]:
    """The outcomes, how many records have each, and its colour; the rejected ones last, since their codes follow."""
    total = upload["total_records"]
    rare = [
        ("held for review", upload["held_records"], "yellow"),
        ("unprocessed", upload["unprocessed_records"], "red"),
    ]
    return [
        ("records", upload["records_split"] if total is None else total, "bold"),
        ("loaded", upload["succeeded_records"], "green"),
        *((name, number, style) for name, number, style in rare if number),
        (_REJECTED, upload["failed_records"], "yellow" if upload["failed_records"] else ""),
    ]
