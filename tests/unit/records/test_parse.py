import math
import re
from datetime import UTC, datetime
from decimal import Decimal

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowstream.records.parse import CELL_TYPES, parsed, present
from rowstream.records.wording import unparsed
from tests.unit.records.support import texts

UTC_TIME = dy.Datetime(nullable=True, time_zone="UTC")


def read(column: dy.Column, *cells: str | None) -> list[object]:
    return texts(cell=cells).select(parsed(column, pl.col("cell"))).to_series().to_list()


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        (dy.Bool(nullable=True), "Yes", True),
        (dy.Bool(nullable=True), "0", False),
        (dy.Bool(nullable=True), "no ", None),
        (dy.Int8(nullable=True), "127", 127),
        (dy.Int8(nullable=True), "128", None),
        (dy.UInt8(nullable=True), "-1", None),
        (dy.Int64(nullable=True), "-007", -7),
        (dy.Int64(nullable=True), "-999999999999999999", -999_999_999_999_999_999),
        (dy.Int64(nullable=True), "+7", None),
        (dy.Int64(nullable=True), "--7", None),
        (dy.Int64(nullable=True), "-", None),
        (dy.Int64(nullable=True), "-1000000000000000000", None),
        (dy.Int64(nullable=True, min_exclusive=-1), "-7", None),
        (dy.Integer(nullable=True), "7", 7),
        (dy.Float64(nullable=True), "1e3", 1000.0),
        (dy.Float64(nullable=True), "-0.5", -0.5),
        (dy.Float64(nullable=True), ".5", None),
        (dy.Float64(nullable=True), "5.", None),
        (dy.Float64(nullable=True), "1e999", None),
        (dy.Float64(nullable=True), "nan", None),
        (dy.Float64(nullable=True), "inf", None),
        (dy.Float32(nullable=True), "1e39", None),
        (dy.Decimal(5, 2, nullable=True), "999.99", Decimal("999.99")),
        (dy.Decimal(5, 2, nullable=True), "-0001.5", Decimal("-1.50")),
        (dy.Decimal(5, 2, nullable=True), "1000", None),
        (dy.Decimal(5, 2, nullable=True), "1.005", None),
        (dy.Decimal(5, 2, nullable=True), "1e2", None),
        (dy.Decimal(2, 2, nullable=True), "0.25", Decimal("0.25")),
        (dy.Decimal(2, 2, nullable=True), "1.25", None),
        (dy.Decimal(3, 0, nullable=True), "12.0", None),
        (UTC_TIME, "2024-01-05T10:11:12Z", datetime(2024, 1, 5, 10, 11, 12, tzinfo=UTC)),
        (UTC_TIME, "2024-01-05 10:11:12.5+02:00", datetime(2024, 1, 5, 8, 11, 12, 500_000, tzinfo=UTC)),
        (UTC_TIME, "2024-01-05T10:11:12.123456-05:30", datetime(2024, 1, 5, 15, 41, 12, 123_456, tzinfo=UTC)),
        (UTC_TIME, "2024-01-05T10:11:12", None),
        (UTC_TIME, "2024-01-05T10:11Z", None),
        (UTC_TIME, "2024-01-05T24:00:00Z", None),
        (UTC_TIME, "2024-01-05T10:60:00Z", None),
        (UTC_TIME, "2024-01-05T10:11:60Z", None),
        (UTC_TIME, "2024-02-30T10:11:12Z", None),
        (UTC_TIME, "2024-01-05T10:11:12+24:00", None),
        (UTC_TIME, "0000-01-05T10:11:12Z", None),
        (UTC_TIME, "0001-01-01T00:00:00+01:00", None),
        (UTC_TIME, "9999-12-31T23:59:59-01:00", None),
        (dy.Enum(["a", "b"], nullable=True), "a", "a"),
        (dy.Enum(["a", "b"], nullable=True), "A", None),
        (dy.String(nullable=True), " x ", " x "),
    ],
)
def test_a_cell_is_read_exactly_or_not_at_all(column: dy.Column, cell: str, value: object) -> None:
    assert read(column, cell, None) == [value, None]


@settings(deadline=None)
@given(st.lists(st.text("0123456789+-. e_x٣", max_size=22), max_size=20))
def test_integers_are_digits_after_at_most_a_minus(cells: list[str]) -> None:
    expected = [int(cell) if re.fullmatch("-?[0-9]{1,18}", cell) else None for cell in cells]
    assert read(dy.Int64(nullable=True), *cells) == expected
    assert read(dy.Int64(nullable=True, min=0), *cells) == [
        int(cell) if re.fullmatch("[0-9]{1,18}", cell) else None for cell in cells
    ]


@settings(deadline=None)
@given(st.lists(st.decimals(-10_000, 10_000, places=3).map(str), max_size=20))
def test_decimals_are_never_rounded(cells: list[str]) -> None:
    for cell, value in zip(cells, read(dy.Decimal(6, 2, nullable=True), *cells), strict=True):
        assert value is None or value == Decimal(cell)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), max_size=20))
def test_floats_are_read_as_python_reads_them(cells: list[str]) -> None:
    for cell, value in zip(cells, read(dy.Float64(nullable=True), *cells), strict=True):
        assert isinstance(value, float)
        assert math.isclose(value, float(cell), rel_tol=1e-15)


@pytest.mark.parametrize(
    ("column", "cell", "code", "demand"),
    [
        (dy.Int8(nullable=True), "128", "VAL_011", "must be between -128 and 127"),
        (dy.Int8(nullable=True), "1.5", "VAL_005", "must be a whole number: the digits 0 to 9, at most 18, after"),
        (
            dy.Decimal(5, 2, nullable=True),
            "1.005",
            "VAL_011",
            "must have at most 3 digits before the point and 2 after",
        ),
        (dy.Decimal(5, 2, nullable=True), "x", "VAL_010", "must be a number such as 12.5, without an exponent"),
        (dy.Float64(nullable=True), "1e999", "VAL_011", "must be a number that 64 bits can hold"),
        (dy.Float64(nullable=True), "1,5", "VAL_010", "must be a number such as 12.5"),
        (dy.Bool(nullable=True), "2", "VAL_004", "must be true or false"),
        (UTC_TIME, "noon", "VAL_002", "must be a time written YYYY-MM-DDThh:mm:ssZ"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(column: dy.Column, cell: str, code: str, demand: str) -> None:
    found, said = unparsed(column, cell)
    assert found == code
    assert said.startswith(demand)


def test_texts_that_mean_missing() -> None:
    frame = texts(cell=["NA", "N/A", " NA", "na", "\u3000", "", None, "x"])
    cells = frame.select(present(pl.col("cell"), {"NA", "N/A"})).to_series()
    assert cells.to_list() == [None, None, " NA", "na", None, None, None, "x"]


def test_every_column_that_a_declaration_may_have_can_be_read() -> None:
    made = {dy.Enum: dy.Enum(["1"], nullable=True), dy.Datetime: UTC_TIME}
    for kind in CELL_TYPES:
        assert read(made.get(kind) or kind(nullable=True), None) == [None]
