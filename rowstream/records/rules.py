"""What a record type says of several columns at once: rules that a record must keep, and columns made of others."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dataframely as dy
import polars as pl


@dataclass(frozen=True, kw_only=True)
class BusinessRule:
    """A rule over several columns, judged only for records whose cells are valid one by one.

    Attributes:
        code: `BIZ_` and a number or name; one code a rule.
        message: For people: what the rule asks for.
        fields: The columns that the rule looks at.
        violated: Over the typed columns; true where the record breaks the rule, null counts as not violated.
        breaks: Cells, by column, that break the rule whatever the other cells say; sample files are planted with them.
    """

    code: str
    message: str
    fields: tuple[str, ...]
    violated: pl.Expr
    breaks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A further column of the table, computed from the typed columns of an accepted record.

    Attributes:
        column: Its type; it may be null where the value may be.
        value: Over the typed columns.
    """

    column: dy.Column
    value: pl.Expr
