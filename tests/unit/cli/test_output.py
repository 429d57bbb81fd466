import json
from datetime import UTC, datetime

import pytest

from rowstream.cli.output import answer_json, answer_table, note


def test_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    answer_json({"at": datetime(2026, 1, 2, tzinfo=UTC), "text": "two\nlines"})
    captured = capsys.readouterr().out
    assert captured.count("\n") == 1
    assert json.loads(captured) == {"at": "2026-01-02T00:00:00Z", "text": "two\nlines"}


def test_a_table_without_headers_has_no_line_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    answer_table([], [["  table", "flights"], ["  key", "a, b"]])
    assert capsys.readouterr().out == "  table  flights\n  key    a, b\n"


def test_a_table_in_a_pipe_has_a_line_for_each_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    answer_table(["name", "value"], [["a", "x" * 500], ["b", "[red]as it is[/red]"]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "value"], ["a", "x" * 500], ["b", "[red]as", "it", "is[/red]"]]


def test_notes_do_not_mix_with_answers(capsys: pytest.CaptureFixture[str]) -> None:
    note("stopping")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "stopping\n")
