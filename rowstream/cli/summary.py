"""What became of an upload, for people: a headline, and a table of its records' outcomes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowstream.cli.words import count, counted, moment, rate, size, span

if TYPE_CHECKING:
    from rich.table import Table

    from rowstream.cli.asking import Rejection, Upload

_MARKS = {"completed": "✓", "needs_review": "✓", "failed": "✗", "cancelled": "✗"}


def headline(upload: "Upload") -> str:
    """`✓ members.csv completed: 20,000 records in 1.9 s (10,526 records/s)`; of a failure, its reason."""
    status, name = upload["status"], upload["filename"]
    said = f"{_MARKS.get(status, '·')} {name} {status.replace('_', ' ')}"
    if upload["failure_code"]:
        return f"{said}, {upload['failure_code']}: {upload['failure_message']}"
    if upload["total_records"] is None or upload["duration_ms"] is None:
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

    table = Table(box=None, show_header=bool(examples), header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("records", justify="right", no_wrap=True)
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for name, number in _totals(upload):
        table.add_row(Text(name, _STYLES.get(name, "")), Text(count(number), _STYLES.get(name, "")))
    for code, number in sorted(upload["errors_by_code"].items()):
        example = examples.get(code, {})
        row = count(example["row_number"]) if example else ""
        table.add_row(Text(f"  {code}"), count(number), row, Text(message(example), "dim"))
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
        ("correlation", upload["correlation_id"]),
    ]


def listing(uploads: Sequence["Upload"]) -> "Table":
    """Uploads, one a line."""
    from rich.table import Table  # noqa: PLC0415 - only where somebody looks
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("status")
    for name in ("records", "loaded", "rejected"):
        table.add_column(name, justify="right")
    for name in ("created", "record type", "file"):
        table.add_column(name, overflow="fold")
    for one in uploads:
        total = one["total_records"] if one["total_records"] is not None else one["records_split"]
        numbers = [count(number) for number in (total, one["succeeded_records"], one["failed_records"])]
        words = [moment(one["created_at"]), one["record_type"], one["filename"]]
        table.add_row(str(one["id"]), one["status"], *numbers, *map(Text, words))
    return table


def message(rejection: Mapping[str, Any]) -> str:
    """The first error of a rejected record in words, and how many more it has."""
    more = len(rejection.get("errors") or ()) - 1
    return str(rejection.get("error_message", "")) + (f" (and {counted(more, 'more fault')})" if more > 0 else "")


def _totals(upload: "Upload") -> list[tuple[str, int]]:
    """The outcomes; rejected ones last, since their codes follow, and rare ones only where there are any."""
    rare = [("held for review", upload["held_records"]), ("unprocessed", upload["unprocessed_records"])]
    return [
        ("loaded", upload["succeeded_records"]),
        *((name, number) for name, number in rare if number),
        ("rejected", upload["failed_records"]),
    ]


_STYLES = {"loaded": "green", "rejected": "yellow", "unprocessed": "red", "held for review": "yellow"}
