from collections.abc import Callable

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowstream.records.canonical import canonical_key
from rowstream.records.parse import parsed
from tests.unit.records.support import record_type, schema, texts

COLUMNS: dict[str, dy.Column] = {
    "text": dy.String(nullable=False),
    "whole": dy.Int64(nullable=False),
    "count": dy.Int32(nullable=False, min=0),
    "day": dy.Date(nullable=False),
    "moment": dy.Datetime(nullable=False, time_zone="UTC"),
    "money": dy.Decimal(8, 2, nullable=False),
    "flag": dy.Bool(nullable=False),
    "kind": dy.Enum(["a", "b"], nullable=False),
}
KEYED = record_type(schema=schema(**COLUMNS), key=tuple(COLUMNS), missing=frozenset({"NA"}))
NOISE = st.text("0123456789-+:.TZ NAaxe\u3000é", max_size=12)


def written(value: object, zeros: Callable[[], int]) -> str:
    """One of the ways to write a value: `7`, `007`; `1.5`, `01.50`."""
    sign, digits = ("-", str(value)[1:]) if str(value).startswith("-") else ("", str(value))
    return sign + "0" * zeros() + digits


@st.composite
def cells(draw: st.DrawFn) -> dict[str, str]:
    def zeros() -> int:
        return draw(st.integers(0, 3))

    hour = draw(st.integers(1, 3))
    fitting = {
        "text": draw(st.sampled_from(["x", " x", "X", "é"])),
        "whole": written(draw(st.integers(-2, 2)), zeros) if draw(st.booleans()) else "-0",
        "count": written(draw(st.integers(0, 2)), zeros),
        "day": f"2024-01-0{draw(st.integers(1, 2))}",
        "moment": draw(st.sampled_from([f"2024-01-01T0{hour}:00:00Z", f"2024-01-01 0{hour + 1}:00:00.0+01:00"])),
        "money": written(draw(st.integers(-2, 2)), zeros) + draw(st.sampled_from(["", ".0", ".00"])),
        "flag": draw(st.sampled_from(["true", "YES", "1", "no", "False"])),
        "kind": draw(st.sampled_from(["a", "b"])),
    }
    return {name: draw(NOISE) if draw(st.integers(0, 9)) == 0 else cell for name, cell in fitting.items()}


@settings(deadline=None, max_examples=200)
@given(st.lists(cells(), min_size=2, max_size=12))
def test_cells_have_one_text_just_when_they_have_one_value(rows: list[dict[str, str]]) -> None:
    frame = texts(**{name: [row[name] for row in rows] for name in COLUMNS})
    key = frame.select(canonical_key(KEYED))
    value = frame.select(parsed(column, pl.col(name)).alias(name) for name, column in COLUMNS.items())
    assert set(key.dtypes) == {pl.String}
    assert key.columns == list(COLUMNS)
    for name in COLUMNS:
        valued = [
            index for index in range(len(rows)) if value[name][index] is not None and key[name][index] is not None
        ]
        for left in valued:
            for right in valued:
                same_value = value[name][left] == value[name][right]
                assert same_value == (key[name][left] == key[name][right]), (rows[left][name], rows[right][name])


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("cell", ["", " ", "\u3000\t", "NA", None])
def test_a_missing_cell_has_no_text(name: str, cell: str | None) -> None:
    rows = texts(**{other: [cell if other == name else "1"] for other in COLUMNS})
    assert rows.select(canonical_key(KEYED))[name].to_list() == [None]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_cell_that_is_no_value_has_the_text_that_it_has(name: str) -> None:
    rows = texts(**{other: ["?"] for other in COLUMNS})
    assert rows.select(canonical_key(KEYED))[name].to_list() == ["?"]
