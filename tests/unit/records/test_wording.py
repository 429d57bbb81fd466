import dataframely as dy
import polars as pl
import pytest

from record_processor.validate import validate
from tests.unit.records.support import record_type, schema

NAMED = {"error_code": "VAL_100", "error_message": "must be a plate"}


@pytest.mark.parametrize(
    ("column", "cell", "code", "demand"),
    [
        (dy.Int64(nullable=True, min=5), "4", "VAL_011", "must be 5 or more"),
        (dy.Int64(nullable=True, min_exclusive=5), "5", "VAL_011", "must be more than 5"),
        (dy.Int64(nullable=True, max=5), "6", "VAL_011", "must be 5 or less"),
        (dy.Int64(nullable=True, max_exclusive=5), "5", "VAL_011", "must be less than 5"),
        (dy.Int64(nullable=True, is_in=[1, 2]), "3", "VAL_004", "must be one of 1, 2"),
        (dy.Date(nullable=True, resolution="1mo"), "2024-01-02", "VAL_011", "must be a whole multiple of 1mo"),
        (dy.String(nullable=True, min_length=3), "ab", "VAL_011", "must have at least 3 bytes"),
        (dy.String(nullable=True, max_length=3), "éé", "VAL_011", "must have at most 3 bytes"),
        (dy.String(nullable=True, regex="^a+$"), "b", "VAL_012", "must match the pattern ^a+$"),
        (dy.String(nullable=True, regex="^a+$", metadata=NAMED), "b", "VAL_100", "must be a plate"),
        (dy.String(nullable=True, check=lambda c: c == "a"), "b", "VAL_004", "must be an allowed value"),
        (dy.String(nullable=True, check={"x": lambda c: c == "a"}, metadata=NAMED), "b", "VAL_100", "must be a plate"),
        (dy.String(nullable=True, regex="^a+$", max_length=2), "bbb", "VAL_011", "must have at most 2 bytes"),
    ],
)
def test_a_broken_rule_is_one_error_a_cell(column: dy.Column, cell: str, code: str, demand: str) -> None:
    declared = record_type(schema=schema(id=dy.String(nullable=False), cell=column))
    texts = pl.DataFrame({"record": [0, 1], "id": ["a", "b"], "cell": [cell, ""]})
    validated = validate(texts, declared)
    (error,) = validated.faults[0]
    assert (error.field, error.code, error.message) == ("cell", code, f"cell {demand}, got {cell!r}")
    assert validated.good["record"].to_list() == [1]
