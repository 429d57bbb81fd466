import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from rowstream.cli import summary
from tests.unit.cli.support import rejection, upload


def lines(view: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(view)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "✓ things.csv completed: 20 records in 2.0 s (10 records/s)"),
        ({"status": "needs_review"}, "✓ things.csv needs review: 20 records in 2.0 s (10 records/s)"),
        ({"total_records": 0, "duration_ms": 190}, "✓ things.csv completed: 0 records in 0.19 s"),
        ({"status": "pending", "total_records": None}, "· things.csv pending"),
        ({"status": "pending", "attempt": 2}, "· things.csv pending"),
        ({"status": "cancelled", "total_records": None}, "✗ things.csv cancelled"),
        (
            {"status": "failed", "failure_code": "FMT_001", "failure_message": "the file is empty"},
            "✗ things.csv failed, FMT_001: the file is empty",
        ),
    ],
)
def test_the_headline_says_how_it_went(changes: dict[str, Any], said: str) -> None:
    assert summary.headline(upload(**changes)) == said


def test_the_details_name_the_upload_that_had_the_same_file() -> None:
    assert ("same file as", "upload 7") in summary.details(upload(duplicate_of="7"))
    assert "same file as" not in dict(summary.details(upload(duplicate_of=None)))


def test_outcomes_add_up_and_every_code_has_an_example() -> None:
    examples = {"VAL_001": rejection(1_234, "VAL_001", "VAL_005", "VAL_005"), "VAL_002": rejection(7, "VAL_002")}
    assert lines(summary.outcomes(upload(), examples)) == [
        "records    20",
        "loaded     17",
        "rejected    3  for example",
        "  VAL_001   2  row 1,234: a is wrong by VAL_001 (and 2 more faults)",
        "  VAL_002   1  row 7: a is wrong by VAL_002",
    ]


def test_rare_outcomes_are_shown_where_there_are_any() -> None:
    found = upload(total_records=None, records_split=9, held_records=1, unprocessed_records=2, errors_by_code={})
    shown = lines(summary.outcomes(found, {}))
    assert [line.split() for line in shown] == [
        ["records", "9"],
        ["loaded", "17"],
        ["held", "for", "review", "1"],
        ["unprocessed", "2"],
        ["rejected", "3"],
    ]


def test_a_cell_is_no_markup() -> None:
    example = rejection(2, "VAL_002") | {"error_message": "got '[red]x[/red]'"}
    assert lines(summary.outcomes(upload(errors_by_code={"VAL_002": 1}), {"VAL_002": example}))[-1].endswith(
        "got '[red]x[/red]'"
    )


def test_details_name_what_is_known() -> None:
    known = dict(summary.details(upload()))
    assert known["file"] == "things.csv (1.5 kB)"
    assert known["ended"].endswith("(2.0 s)")
    waiting = dict(summary.details(upload(size_bytes=None, accepted_at=None, completed_at=None, duration_ms=None)))
    assert waiting["file"] == "things.csv"
    assert waiting["accepted"].startswith("not yet")
    assert "ended" not in waiting


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, {}),
        ({"attempt": 3}, {"attempt": "3"}),
        ({"requested": "pause", "status": "processing"}, {"asked to": "pause"}),
        ({"requested": "pause", "status": "paused"}, {}),
        ({"requested": "cancel", "completed_at": None}, {"asked to": "end"}),
        ({"requested": "cancel"}, {"loaded rows": "its 17 loaded rows stay"}),
        ({"requested": "cancel", "succeeded_records": 0}, {"loaded rows": "it had loaded nothing"}),
        ({"requested": "cancel", "undo": True}, {"loaded rows": "its 17 loaded rows are being taken out again"}),
        (
            {"requested": "cancel", "undo": True, "undone_at": "2026-02-03T04:05:09Z", "undone_records": 1},
            {"loaded rows": "1 loaded row taken out again"},
        ),
    ],
)
def test_details_say_what_was_asked_of_it(changes: dict[str, Any], shown: dict[str, str]) -> None:
    known = dict(summary.details(upload(**changes)))
    assert {name: known[name] for name in ("attempt", "asked to", "loaded rows") if name in known} == shown


def test_a_list_has_a_line_for_each_upload() -> None:
    failed = upload(status="failed", failure_code="FMT_002", total_records=None, records_split=0)
    undone = upload(status="cancelled", undo=True, undone_at="2026-02-03T04:05:06Z")
    uploads = [upload(), upload(total_records=None, records_split=12, filename="[b]"), failed, undone]
    shown = lines(summary.listing(uploads, datetime(2026, 2, 3, 4, 10, 6, tzinfo=UTC)))
    assert [line.split()[1:] for line in shown] == [
        ["status", "records", "loaded", "rejected", "age", "file"],
        ["completed", "20", "17", "3", "5", "min", "things.csv"],
        ["completed", "12", "17", "3", "5", "min", "[b]"],
        ["failed,", "FMT_002", "0", "17", "3", "5", "min", "things.csv"],
        ["cancelled,", "undone", "20", "17", "3", "5", "min", "things.csv"],
    ]
