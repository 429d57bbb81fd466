"""The page of the built-in record types, from their declarations."""

from collections.abc import Iterator
from importlib.metadata import entry_points

import dataframely as dy

from docs.generate.markdown import bullets, code, document, table
from rowstream.database.record_tables import OWN_COLUMNS, declared_columns, sql_type
from rowstream.records import RecordType
from rowstream.records.registry import GROUP, load


def built_in() -> list[RecordType]:
    """The record types that come with rowstream itself, whatever else is installed."""
    return list(
        load(point for point in entry_points(group=GROUP) if point.dist and point.dist.name == "rowstream").values()
    )


def page() -> str:
    """Every built-in record type."""
    return document(
        "Built-in record types",
        "record_types/",
        "A file may have the columns in any order, further columns, and headers that differ in case, outer white "
        "space, spaces, hyphens and underscores. `rowstream template NAME` writes a file to fill in.",
        *(block for record_type in built_in() for block in _record_type(record_type)),
    )


def _record_type(record_type: RecordType) -> Iterator[str]:
    yield f"## {record_type.name}"
    yield f"{record_type.title}; version {record_type.version}."
    yield bullets(_facts(record_type))
    yield table(["column", "required", "in Postgres", "rules"], _columns(record_type))


def _facts(record_type: RecordType) -> Iterator[str]:
    yield f"Table: {code(record_type.table)}, with the columns below and {', '.join(map(code, OWN_COLUMNS))}"
    yield f"Key: {', '.join(map(code, record_type.key))} (within an organization)"
    if record_type.missing:
        yield f"Means missing, beside white space: {', '.join(map(code, sorted(record_type.missing)))}"
    for rule in record_type.rules:
        yield f"{code(rule.code)}: {rule.message}"


def _columns(record_type: RecordType) -> Iterator[tuple[str, str, str, str]]:
    for name, column in declared_columns(record_type).items():
        if name in record_type.derived:
            yield code(name), "", sql_type(column), "computed, not in the file"
        else:
            yield code(name), "" if column.nullable else "yes", sql_type(column), _rules(column)


def _rules(column: dy.Column) -> str:
    said = column.metadata or {}
    if isinstance(column, dy.Enum):
        return f"one of {', '.join(map(code, column.categories))}"
    rules = [str(said["error_message"])] if "error_message" in said else []
    bounds = (
        ("min", "{} or more"),
        ("max", "{} or less"),
        ("min_length", "{} bytes or more"),
        ("max_length", "{} bytes or less"),
    )
    rules += [words.format(limit) for name, words in bounds if (limit := getattr(column, name, None)) is not None]
    return ", ".join(rules)
