import re
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from rowstream.database.catalogue import metadata
from rowstream.errors import Fatal
from rowstream.records import BusinessRule, Derived
from tests.unit.records.support import record_type, schema

ID = dy.String(nullable=False)


def rule(**changes: Any) -> BusinessRule:
    told: dict[str, Any] = {"code": "BIZ_001", "message": "m", "fields": ("size",), "violated": pl.col("size") > 3}
    return BusinessRule(**(told | changes))


class WithRule(dy.Schema):
    id = dy.String(nullable=False)

    @dy.rule()
    def one_of_a_kind(cls) -> pl.Expr:  # noqa: N805 - dataframely makes it a class method
        return pl.col("id").is_unique()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Thing"}, "its name 'Thing' must be snake_case"),
        ({"name": "t" * 64}, "at most 63 characters"),
        ({"table": "my things"}, "its table 'my things' must be snake_case"),
        ({"table": "outbox"}, "the table 'outbox' is one of rowstream's own"),
        ({"version": 0}, "its version 0 must be 1 or more"),
        ({"schema": schema()}, "its schema has no columns"),
        ({"schema": schema(id=ID, Size=dy.Int64(nullable=True))}, "the column 'Size' must be snake_case"),
        ({"schema": schema(id=ID, row_number=dy.Int64(nullable=True))}, "'row_number' is one that rowstream adds"),
        ({"schema": schema(id=ID, of=dy.List(dy.Int64(), nullable=True))}, "'of' is a List, which no cell is read as"),
        ({"schema": schema(id=dy.String(primary_key=True))}, "say key=('id', ...)"),
        ({"schema": schema(id=dy.String(nullable=False, unique=True))}, "says unique or primary_key"),
        ({"schema": schema(id=ID, at=dy.Datetime(nullable=True))}, "say time_zone='UTC'"),
        ({"schema": schema(id=ID, x=dy.String(nullable=True, metadata={"error_code": "X"}))}, "must start with VAL_"),
        ({"schema": WithRule}, "rules over several columns"),
        ({"key": ()}, "its key () must name one or more columns"),
        ({"key": ("id", "id")}, "each once"),
        ({"key": ("nr",)}, "its key names 'nr', which is no column; the columns are id, size"),
        ({"key": ("size",)}, "its key column 'size' may be empty; say nullable=False"),
        ({"schema": schema(id=dy.Float64(nullable=False))}, "its key column 'id' is a float"),
        ({"spellings": {"nr": ("no",)}}, "its spellings name 'nr', which is no column"),
        ({"spellings": {"size": ("I-D",)}}, "the header 'I-D' would mean both 'id' and 'size'"),
        ({"missing": "NA"}, "missing='NA' must be a set of texts"),
        ({"rules": (rule(code="VAL_100"),)}, "the business rule's code 'VAL_100' must start with BIZ_"),
        ({"rules": (rule(), rule())}, "two business rules have one code"),
        ({"rules": (rule(fields=("sice",)),)}, "the business rule BIZ_001 names 'sice', which is no column"),
        ({"rules": (rule(breaks={"sice": "4"}),)}, "names 'sice', which is no column"),
        ({"rules": (rule(violated=pl.col("sice") > 3),)}, "the business rule BIZ_001 cannot be computed"),
        (
            {"rules": (rule(violated=pl.col("size")),)},
            "the business rule BIZ_001 must give one Boolean, it gives Int64",
        ),
        (
            {"derived": {"size": Derived(column=dy.Int64(nullable=True), value=pl.col("size"))}},
            "the derived column 'size' is a column of its schema already",
        ),
        (
            {"derived": {"big": Derived(column=dy.Bool(nullable=True), value=pl.col("size"))}},
            "the derived column 'big' must give one Boolean, it gives Int64",
        ),
        ({"on_duplicate": "replace"}, "on_duplicate='replace' is not supported yet; say 'reject'"),
        ({"on_duplicate": "review"}, "not supported yet"),
        ({"on_duplicate": "ignore"}, "on_duplicate='ignore' is unknown"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Fatal, match=rf"^record type .*{re.escape(problem)}"):
        record_type(**changes)


def test_a_declaration_says_its_columns_in_order() -> None:
    declared = record_type(schema=schema(b=dy.Int64(nullable=True), id=ID, a=dy.Date(nullable=False)))
    assert declared.columns == ("b", "id", "a")
    assert declared.required == ("id", "a")


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("first_name", "first_name"),
        ("First Name", "first_name"),
        ("\u00a0FIRST-NAME\t", "first_name"),
        ("firstname", "first_name"),
        ("Given name", "first_name"),
        ("STRASSE", "street"),
        ("first.name", None),
        ("", None),
        ("\x1cfirst_name", None),
    ],
)
def test_a_header_may_be_written_in_many_ways(header: str, column: str | None) -> None:
    columns = schema(first_name=ID, street=dy.String(nullable=True))
    declared = record_type(
        schema=columns, key=("first_name",), spellings={"first_name": ("given_name",), "street": ("Straße",)}
    )
    assert declared.column_of(header) == column


@pytest.mark.parametrize("table", sorted([*metadata.tables, "alembic_version"]))
def test_no_table_of_rowstream_can_be_taken(table: str) -> None:
    with pytest.raises(Fatal, match="one of rowstream's own"):
        record_type(table=table)
