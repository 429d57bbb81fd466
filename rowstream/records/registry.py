"""Which record types are installed: those that packages offer at the entry point group `rowstream.record_types`.

What they are called is known without loading them, for those who only ask that: loading brings in Polars, which takes a
third of a service's start and of its memory.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rowstream.errors import Fatal, Poison

if TYPE_CHECKING:
    from rowstream.records.record_type import RecordType

GROUP: Final = "rowstream.record_types"


class UnknownRecordType(Poison):
    """Nothing installed has this name."""


@cache
def names() -> tuple[str, ...]:
    """What the installed record types are called, sorted; loads none of them."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def check(name: str) -> str:
    """The name, if an installed record type is called so; loads none.

    Raises:
        UnknownRecordType: There is none; the message names those that there are.
    """
    if name not in names():
        raise UnknownRecordType(_unknown(name, names()))
    return name


@cache
def record_types() -> "Mapping[str, RecordType]":
    """Every installed record type by name, sorted; found once a process.

    Raises:
        Fatal: A plug-in cannot be loaded, is no record type or one of another name than its entry point's, or takes a
            name or table that another one has.
    """
    return load(entry_points(group=GROUP))


def find(name: str) -> "RecordType":
    """The installed record type of this name.

    Raises:
        UnknownRecordType: There is none; the message names those that there are.
        Fatal: As `record_types`.
    """
    known = record_types()
    if name not in known:
        raise UnknownRecordType(_unknown(name, known))
    return known[name]


def announced() -> tuple[str, ...]:
    """The names of the installed record types whose accepted records are announced; raises as `record_types`."""
    return tuple(name for name, record_type in record_types().items() if record_type.announce)


def load(points: Iterable[EntryPoint]) -> "Mapping[str, RecordType]":
    """The record types behind entry points; raises as `record_types` does."""
    found: dict[str, tuple[RecordType, str]] = {}
    tables: dict[str, str] = {}
    for point in points:
        package = point.dist.name if point.dist else "an unknown package"
        record_type = _load_one(point, package)
        if record_type.name in found:
            other = found[record_type.name][1]
            raise Fatal(f"two record types are named {record_type.name!r}, by {other} and {package}; uninstall one")
        if other_name := tables.get(record_type.table):
            raise Fatal(
                f"the record types {other_name!r} and {record_type.name!r} (of {package}) both want the table "
                f"{record_type.table!r}; rename one of the tables"
            )
        found[record_type.name] = (record_type, package)
        tables[record_type.table] = record_type.name
    return MappingProxyType({name: found[name][0] for name in sorted(found)})


def _unknown(name: str, known: Iterable[str]) -> str:
    return (
        f"unknown record type {name!r}; installed are: {', '.join(known) or 'none'}. "
        "Choose one of them, or install the package that has it"
    )


def _load_one(point: EntryPoint, package: str) -> "RecordType":
    from rowstream.records.record_type import RecordType  # noqa: PLC0415 - heavy, only needed here

    try:
        record_type = point.load()
    except Exception as error:  # a plug-in's module may raise anything when it is imported
        raise Fatal(
            f"the record type {point.name!r} of package {package} cannot be loaded from {point.value}: "
            f"{type(error).__name__}: {error}. Repair or uninstall the package"
        ) from error
    if not isinstance(record_type, RecordType):
        raise Fatal(
            f"the entry point {point.name!r} of package {package} is a {type(record_type).__name__}, "
            f"not a RecordType; let {point.value} name one"
        )
    if record_type.name != point.name:
        raise Fatal(
            f"the record type at {point.value} is named {record_type.name!r}, its entry point in package {package} "
            f"{point.name!r}; give both the same name"
        )
    return record_type
