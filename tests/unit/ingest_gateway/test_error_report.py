import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway import error_report


def rejection(row: int, cells: dict[str, str] | None, *, raw: str | None = None) -> dict[str, Any]:
    return {
        "row_number": row,
        "error_code": "VAL_001",
        "error_message": "member_id is missing",
        "errors": [{"field": "member_id", "code": "VAL_001", "message": "is missing", "value": None}],
        "row_data": cells,
        "raw_text": raw,
    }


def rows_of(pieces: list[bytes]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(pieces).decode(), newline="")))


def test_the_csv_has_the_files_own_headers_in_its_order_then_three_more() -> None:
    pages = [[rejection(2, {"b": "1", "a,x": 'say "hi"'})], [rejection(5, {"b": "two\nlines", "a,x": "=1"})]]
    rows = rows_of(list(error_report.csv_pages(pages, ("b", "a,x"))))
    assert rows == [
        ["b", "a,x", "row_number", "error_code", "error_message"],
        ["1", 'say "hi"', "2", "VAL_001", "member_id is missing"],
        ["two\nlines", "'=1", "5", "VAL_001", "member_id is missing"],
    ]


def test_headers_are_defused_too() -> None:
    rows = rows_of(list(error_report.csv_pages([[rejection(2, {"=a": "x"})]], ("=a",))))
    assert [row[0] for row in rows] == ["'=a", "x"]


def test_a_line_that_could_not_be_parsed_stands_in_the_message() -> None:
    rows = rows_of(list(error_report.csv_pages([[rejection(3, None, raw='1,"open')]], ("a", "b"))))
    assert rows[1] == ["", "", "3", "VAL_001", 'member_id is missing; the line reads: 1,"open']


def test_a_report_handed_in_again_does_not_repeat_its_own_columns() -> None:
    cells = {"a": "1", "row_number": "7", "error_code": "x", "error_message": "y"}
    headers = ("a", "row_number", "error_code", "error_message")
    rows = rows_of(list(error_report.csv_pages([[rejection(2, cells)]], headers)))
    assert rows == [[*headers], ["1", "2", "VAL_001", "member_id is missing"]]
    assert error_report.report_headers(("a", "row_number")) == ("a", "row_number")


def test_missing_cells_are_empty_and_no_rejections_are_a_header() -> None:
    assert rows_of(list(error_report.csv_pages([], ("a",)))) == [["a", "row_number", "error_code", "error_message"]]
    assert rows_of(list(error_report.csv_pages([[rejection(2, {})]], ("a",))))[1][0] == ""


def test_json_lines_are_one_object_a_rejection_with_cells_in_file_order() -> None:
    pages = [[rejection(2, {"a": "1", "b": "ü"}), rejection(3, None, raw="x")]]
    lines = b"".join(error_report.json_pages(pages, ("b", "a"))).decode().splitlines()
    first, second = map(json.loads, lines)
    assert list(first["row_data"].items()) == [("b", "ü"), ("a", "1")]
    assert (second["row_data"], second["raw_text"]) == (None, "x")
    assert first.keys() == rejection(2, None).keys()


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("members.csv", "attachment; filename=\"errors-members.csv\"; filename*=UTF-8''errors-members.csv"),
        ("noending", "attachment; filename=\"errors-noending.csv\"; filename*=UTF-8''errors-noending.csv"),
        (".csv", "attachment; filename=\"errors-.csv.csv\"; filename*=UTF-8''errors-.csv.csv"),
        ('a"; x=y.csv', "attachment; filename=\"errors-a_x_y.csv\"; filename*=UTF-8''errors-a%22%3B%20x%3Dy.csv"),
        ("März.csv", "attachment; filename=\"errors-Marz.csv\"; filename*=UTF-8''errors-M%C3%A4rz.csv"),
    ],
)
def test_the_reports_name_is_safe_in_a_header(filename: str, expected: str) -> None:
    assert error_report.attachment(filename, "csv") == expected


@given(st.text(min_size=1, max_size=300))
def test_any_filename_makes_a_plain_header(filename: str) -> None:
    header = error_report.attachment(filename.encode("utf-8", "ignore").decode(), "csv")
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
