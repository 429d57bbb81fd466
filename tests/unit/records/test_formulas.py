"""What a spreadsheet would run is defused, and restored exactly."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowstream.records.formulas import defused, restored


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("", ""),
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-5", "-5"),
        ("+49301234567", "+49301234567"),
        ("-1.5", "-1.5"),
        ("-1,234.50", "-1,234.50"),
        ("-.5", "-.5"),
        ("+1e9", "+1e9"),
        ("-12%", "-12%"),
        ("-5+3", "'-5+3"),
        ("-5\n", "'-5\n"),
        ("-\u0665", "'-\u0665"),
        ("a=1", "a=1"),
        ("'quoted'", "'quoted'"),
        ("'=1", "''=1"),
        ("-", "'-"),
    ],
)
def test_cells_that_a_spreadsheet_would_run_are_defused(cell: str, shown: str) -> None:
    assert defused(cell) == shown


@given(st.text(alphabet="'=+-@\t\r\n1.,ae %\uff1d", max_size=8))
def test_what_was_defused_is_restored(cell: str) -> None:
    assert restored(pa.array([defused(cell)])).to_pylist() == [cell]


@given(st.text(max_size=20))
def test_no_cell_begins_a_formula(cell: str) -> None:
    shown = defused(cell)
    if shown[:1] in set("=+-@\t\r"):
        float(shown.replace(",", "").rstrip("%"))


@pytest.mark.parametrize("cell", ["", "'", "''", "plain", "'quoted'", "it's =1", "-5", "a\n'=1", "''a"])
def test_what_no_report_defused_stays_as_it_is(cell: str) -> None:
    assert restored(pa.array([cell])).to_pylist() == [cell]
