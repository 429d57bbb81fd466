import polars as pl
import pytest

from record_types.member_certification import RECORD_TYPE
from rowstream.records.registry import find
from tests.reference import validator as reference


def test_it_is_installed() -> None:
    assert find("member_certification") is RECORD_TYPE


def test_its_columns_key_and_table() -> None:
    assert RECORD_TYPE.columns == reference.COLUMNS
    assert RECORD_TYPE.required == reference.REQUIRED
    assert RECORD_TYPE.key == ("member_id", "case_number", "certification_date")
    assert RECORD_TYPE.table == "member_certifications"
    assert RECORD_TYPE.on_duplicate == "reject"


def test_its_types() -> None:
    types = {name: column.dtype for name, column in RECORD_TYPE.schema.columns().items()}
    assert {name for name, dtype in types.items() if dtype == pl.Date} == set(reference.DATES)
    assert {name for name, dtype in types.items() if dtype == pl.Int64} == set(reference.INTEGERS)
    assert types["certification_type"] == pl.Enum(reference.TYPES)


@pytest.mark.parametrize(("header", "column"), [("Member ID", "member_id"), ("ZIP-Code", "zip_code"), ("zip", None)])
def test_its_headers(header: str, column: str | None) -> None:
    assert RECORD_TYPE.column_of(header) == column
