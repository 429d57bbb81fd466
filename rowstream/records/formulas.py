"""Cells that a spreadsheet would run as formulas: an apostrophe goes before them in a report, and comes off again.

A plain number keeps its sign. A cell that begins with apostrophes before such a character gets one more, so that what
was done can be told and undone. Source: OWASP, "CSV Injection".
"""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

_STARTS: Final = "'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA: Final = re.compile(_STARTS)
_DEFUSED: Final = f"^'({_STARTS})"
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]+)*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?%?")


def defused(cell: str) -> str:
    """The cell, with an apostrophe before it where a spreadsheet would run it."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def restored(cells: "pa.Array") -> "pa.Array":
    """Text cells as they were before `defused`."""
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy, and the gateway only defuses

    return pc.replace_substring_regex(cells, pattern=_DEFUSED, replacement=r"\1", max_replacements=1)
