"""Checks of a record type's declaration: a mistake is told where it is made, in the words of the declaration."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import dataframely as dy
import polars as pl

from rowstream.errors import Fatal
from rowstream.records.headers import spelling
from rowstream.records.parse import CELL_TYPES, FLOATS
from rowstream.records.rules import BusinessRule, Derived

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")  # 63 bytes is what Postgres takes for a name
_RESERVED_COLUMNS: Final = frozenset(
    {"organization_id", "batch_upload_id", "row_number", "loaded_at", "record", "error_code", "error_message"}
)
_RESERVED_TABLES: Final = frozenset(
    {
        "acts", "alembic_version", "api_keys", "batch_upload_audit_logs", "batch_upload_errors", "batch_uploads",
        "chunk_attempts", "dead_letters", "held_records", "idempotency_keys", "memberships", "message_schemas",
        "multipart_uploads", "organizations", "outbox", "partitions_in_work", "processed_chunks", "record_type_tables",
        "refresh_tokens", "request_nonces", "s3_objects_taken", "sending_hold", "sftp_files", "standstills",
        "upload_control", "upload_lanes", "upload_splits", "users",
    }
)  # fmt: skip


class _Declared(Protocol):
    """What of a record type is checked; `RecordType` says what each means."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def table(self) -> str: ...
    @property
    def schema(self) -> type[dy.Schema]: ...
    @property
    def key(self) -> tuple[str, ...]: ...
    @property
    def spellings(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def missing(self) -> frozenset[str]: ...
    @property
    def rules(self) -> tuple[BusinessRule, ...]: ...
    @property
    def derived(self) -> Mapping[str, Derived]: ...
    @property
    def on_duplicate(self) -> str: ...


def check(record_type: _Declared) -> None:
    """Find the first contradiction of a declaration.

    Raises:
        Fatal: Names the record type, what is wrong, and the way out.
    """
    for problems in (_names, _columns, _key, _headers, _rules, _derived, _refused_for_now):
        for problem in problems(record_type):
            raise Fatal(f"record type {record_type.name!r}: {problem}")


def _names(record_type: _Declared) -> Iterator[str]:
    for what, name in (("name", record_type.name), ("table", record_type.table)):
        if not _NAME.fullmatch(name):
            yield f"its {what} {name!r} must be snake_case, at most 63 characters"
    if record_type.table in _RESERVED_TABLES:
        yield f"the table {record_type.table!r} is one of rowstream's own; choose another name"
    if record_type.version < 1:
        yield f"its version {record_type.version} must be 1 or more"


def _columns(record_type: _Declared) -> Iterator[str]:
    columns = record_type.schema.columns()
    if not columns:
        yield "its schema has no columns"
    for name in (*columns, *record_type.derived):
        if not _NAME.fullmatch(name):
            yield f"the column {name!r} must be snake_case, at most 63 characters"
        if name in _RESERVED_COLUMNS:
            yield f"the column {name!r} is one that rowstream adds; choose another name"
    for name, column in columns.items():
        yield from _column(name, column)
    if record_type.schema._schema_validation_rules():  # noqa: SLF001 - dataframely has no public list of them
        yield "rules over several columns (@dy.rule) belong into rules=(BusinessRule(...), ...)"


def _column(name: str, column: dy.Column) -> Iterator[str]:
    if type(column) not in CELL_TYPES:
        yield (
            f"the column {name!r} is a {type(column).__name__}, which no cell is read as; use one of String, Enum, "
            "Date, Datetime, Integer, Float, Decimal and Bool"
        )
    if isinstance(column, dy.Datetime) and column.time_zone != "UTC":
        yield f"the column {name!r} is a moment; say time_zone='UTC', so that every cell's offset is taken into account"
    if column.unique or column.primary_key:
        yield f"the column {name!r} says unique or primary_key; say key=({name!r}, ...) in the record type instead"
    code = (column.metadata or {}).get("error_code")
    if code is not None and not re.fullmatch(r"VAL_[A-Z0-9_]+", str(code)):
        yield f"the error_code {code!r} of column {name!r} must start with VAL_"


def _key(record_type: _Declared) -> Iterator[str]:
    columns = record_type.schema.columns()
    if not record_type.key or len(set(record_type.key)) < len(record_type.key):
        yield f"its key {record_type.key!r} must name one or more columns, each once"
    for name in record_type.key:
        if name not in columns:
            yield f"its key names {name!r}, which is no column; the columns are {', '.join(columns)}"
        elif columns[name].nullable:
            yield f"its key column {name!r} may be empty; say nullable=False"
        elif isinstance(columns[name], FLOATS):
            yield f"its key column {name!r} is a float, and floats are not equal to themselves; use Decimal or String"


def _headers(record_type: _Declared) -> Iterator[str]:
    columns = record_type.schema.columns()
    taken: dict[str, str] = {}
    for name in record_type.spellings.keys() - columns.keys():
        yield f"its spellings name {name!r}, which is no column"
    for name in columns:
        for text in (name, *record_type.spellings.get(name, ())):
            if (other := taken.setdefault(spelling(text), name)) != name:
                yield f"the header {text!r} would mean both {other!r} and {name!r}; remove it from one of them"
    missing: object = record_type.missing
    if isinstance(missing, str):  # a text is a collection of its letters, and would be taken as such
        yield f"missing={missing!r} must be a set of texts: frozenset({{{missing!r}}})"


def _rules(record_type: _Declared) -> Iterator[str]:
    columns = record_type.schema.columns()
    codes = [rule.code for rule in record_type.rules]
    if len(set(codes)) < len(codes):
        yield f"two business rules have one code; the codes are {', '.join(codes)}"
    for rule in record_type.rules:
        if not re.fullmatch(r"BIZ_[A-Z0-9_]+", rule.code):
            yield f"the business rule's code {rule.code!r} must start with BIZ_"
        for name in {*rule.fields, *rule.breaks} - columns.keys():
            yield f"the business rule {rule.code} names {name!r}, which is no column"
        yield from _expression(record_type, f"the business rule {rule.code}", rule.violated, pl.Boolean())


def _derived(record_type: _Declared) -> Iterator[str]:
    for name in record_type.derived.keys() & record_type.schema.columns().keys():
        yield f"the derived column {name!r} is a column of its schema already"
    for name, derived in record_type.derived.items():
        yield from _expression(record_type, f"the derived column {name!r}", derived.value, derived.column.dtype)


def _expression(record_type: _Declared, what: str, value: pl.Expr, dtype: pl.DataType) -> Iterator[str]:
    columns = {name: column.dtype for name, column in record_type.schema.columns().items()}
    try:
        found = pl.LazyFrame(schema=columns).select(value).collect_schema().dtypes()
    except pl.exceptions.PolarsError as error:
        yield f"{what} cannot be computed from its columns: {error}"
    else:
        if found != [dtype]:
            yield f"{what} must give one {dtype}, it gives {', '.join(map(str, found))}"


def _refused_for_now(record_type: _Declared) -> Iterator[str]:
    if record_type.on_duplicate not in {"reject", "replace", "review"}:
        yield f"on_duplicate={record_type.on_duplicate!r} is unknown; say 'reject'"
    elif record_type.on_duplicate != "reject":
        yield f"on_duplicate={record_type.on_duplicate!r} is not supported yet; say 'reject'"
