"""The page of the record type SDK, from the source and the docstrings of `rowstream.records`."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import dataframely as dy

from docs.generate.markdown import bullets, code, document, fenced, prose, table
from rowstream import records
from rowstream.database.record_tables import OWN_COLUMNS, sql_type
from rowstream.records.parse import CELL_TYPES
from rowstream.records.registry import GROUP
from rowstream.records.wording import unparsed

_EXAMPLES = {dy.Enum: dy.Enum(["one", "two"]), dy.Datetime: dy.Datetime(time_zone="UTC"), dy.Decimal: dy.Decimal(12, 2)}


def page() -> str:
    """Every public name of the SDK, and every type that a cell can be read as."""
    homes = _homes(records)
    return document(
        "The record type SDK",
        "rowstream/records",
        "All that a record type may import from rowstream: `from rowstream.records import RecordType`. The "
        "[tutorial](../tutorial/your-own-record-type.md) uses it step by step.",
        f"A package offers a record type as an entry point of the group `{GROUP}`, called as the record type is, which "
        "names a `RecordType`.",
        *(block for name in sorted(records.__all__) for block in _name(name, homes[name])),
        "## Columns",
        "A column is one of these dataframely classes. A cell of nothing but white space, or one of the texts in "
        "`missing`, is missing; anything else is taken as given.",
        table(["column", "in Postgres", "a cell that is no such value", "code"], _column_types()),
        "A value that breaks a column's limits (`min`, `max`, `min_length`, `max_length`, ...) is a `VAL_011`, one "
        "that is not in `is_in` a `VAL_004`, one that does not match `regex` a `VAL_012`. For a regex or a list of "
        "values the column's `metadata` may give an `error_code` (`VAL_...`) and an `error_message` (“must be an "
        "e-mail address”) instead.",
        "Every table has these columns beside the declared ones:",
        bullets(map(code, OWN_COLUMNS)),
    )


def _homes(package: ModuleType) -> dict[str, ModuleType]:
    """The module that defines each name that the package offers."""
    imports = (node for node in ast.walk(ast.parse(inspect.getsource(package))) if isinstance(node, ast.ImportFrom))
    return {alias.name: import_module(node.module) for node in imports if node.module for alias in node.names}


def _name(name: str, home: ModuleType) -> Iterator[str]:
    body = ast.parse(inspect.getsource(home)).body
    for place, node in enumerate(body):
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield f"## {name}"
            yield fenced("\n".join(_signature(node)), "python")
            yield prose(ast.get_docstring(node))
            if members := bullets(_members(node)):
                yield f"It then has:\n\n{members}"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            yield f"## {name}"
            if isinstance(node, ast.Assign):
                yield fenced(ast.unparse(node), "python")
            following = body[place + 1] if place + 1 < len(body) else None
            yield prose(_text(following))


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _text(node: ast.stmt | None) -> str:
    """The text under a constant that documents it."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return ""


def _signature(node: ast.ClassDef) -> Iterator[str]:
    """The class as it is made: its name and its fields, which are all keyword arguments but in a tuple."""
    yield f"{node.name}("
    if not any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases):
        yield "    *,"
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield f"    {field.target.id}: {ast.unparse(field.annotation)}{_default(field.value)},"
    yield ")"


def _default(value: ast.expr | None) -> str:
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":  # of a default_factory
        return " = {}"
    return f" = {ast.unparse(value)}"


def _members(node: ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            arguments = "" if member.decorator_list else f"({ast.unparse(member.args).removeprefix('self, ')})"
            returns = f" -> {ast.unparse(member.returns)}" if member.returns else ""
            yield f"{code(f'{member.name}{arguments}{returns}')}: {prose(ast.get_docstring(member))}"


def _column_types() -> Iterator[tuple[str, str, str, str]]:
    for kind in CELL_TYPES:
        column = _EXAMPLES.get(kind) or kind()
        found, demand = ("", "") if kind is dy.String else unparsed(column, "?")
        yield code(f"dy.{kind.__name__}"), code(sql_type(column)), demand, code(found)
