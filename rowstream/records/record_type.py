"""What a plug-in states about its kind of record, checked when it is stated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import dataframely as dy
import numpy as np
import polars as pl

from rowstream.records import declaration
from rowstream.records.headers import spelling
from rowstream.records.rules import BusinessRule, Derived

Sampler = Callable[[np.ndarray, np.random.Generator], pl.DataFrame]
"""Makes realistic text cells: (numbers, generator) to one String column for each column of the type.

Numbers are int64, unique in the file and below 2**40. Different numbers must give different keys, and every record must
be valid; the same arguments must give the same cells. An empty text or null is a missing cell.
"""


@dataclass(frozen=True, kw_only=True)
class RecordType:
    """A kind of record: its columns and their rules, its key, its table.

    Attributes:
        name: snake_case; what an upload says it holds.
        version: Rises with every change of the declaration.
        title: For people.
        table: snake_case; the Postgres table.
        schema: A dataframely schema: the columns in their order, their types and rules. A column that is not nullable
            is required. Rules over several columns are business rules; uniqueness is the key's matter.
        key: The columns that together name a record within an organization.
        spellings: Further spellings of a header, by column. Case, outer white space, spaces, hyphens and underscores
            never matter.
        missing: Cell texts that mean "missing" beside white space, such as `NA`.
        rules: Judged for records without any other fault.
        derived: Further columns of the table, by name.
        on_duplicate: What a record means whose key was seen before. Only `reject` for now.
        announce: Whether each accepted record is announced once it is in the table: as a message `RecordAccepted` on
            the topic `rowstream.records.<name>.v1`.
        sample: Makes realistic cells; without it they are made from the schema.

    Raises:
        Fatal: The declaration contradicts itself; the message names the type and the way out.
    """

    name: str
    version: int
    title: str
    table: str
    schema: type[dy.Schema]
    key: tuple[str, ...]
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    rules: tuple[BusinessRule, ...] = ()
    derived: Mapping[str, Derived] = field(default_factory=dict)
    on_duplicate: Literal["reject", "replace", "review"] = "reject"
    announce: bool = False
    sample: Sampler | None = None

    def __post_init__(self) -> None:
        declaration.check(self)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a file, in the schema's order; derived ones are not among them."""
        return tuple(self.schema.column_names())

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The columns that no record may leave empty, in the schema's order."""
        return tuple(name for name, column in self.schema.columns().items() if not column.nullable)

    @cached_property
    def _columns_by_spelling(self) -> Mapping[str, str]:
        return {spelling(text): name for name in self.columns for text in (name, *self.spellings.get(name, ()))}

    def column_of(self, header: str) -> str | None:
        """The column that a header means, or None if it means none of this type's."""
        return self._columns_by_spelling.get(spelling(header))
