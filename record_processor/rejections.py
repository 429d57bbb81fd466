"""What is stored of a bad record: its first fault, all its faults, and the record as it came."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from rowstream.records import CellError
from rowstream.records.errors import capped
from rowstream.records.headers import distinct

ESCAPED: Final = "escaped: "
"""Stands before a text that had to be changed to be stored, so that nobody takes it for the original."""

# Postgres stores neither a NUL nor half of a surrogate pair, in text and in jsonb alike.
_REFUSED: Final = re.compile("[\x00\ud800-\udfff]")
_CHANGED: Final = re.compile("[\x00\ud800-\udfff\\\\]")


class Unparsable(Protocol):
    """A record that the splitter could not read."""

    @property
    def row_number(self) -> int:
        """As a spreadsheet shows it."""

    @property
    def code(self) -> str:
        """`VAL_006` to `VAL_009`."""

    @property
    def message(self) -> str:
        """For people."""

    @property
    def raw(self) -> str:
        """The record's text, escaped and capped by the splitter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One row of `batch_upload_errors`, without the upload.

    Attributes:
        row_number: As a spreadsheet shows it; the header is row 1.
        error_code: The first error's code.
        error_message: The first error's message.
        errors: Every error, in order: field, code, message, value.
        row_data: Header to original text, in the file's order; None for a record that could not be parsed.
        raw_text: The text of a record that could not be parsed; None for others.
    """

    row_number: int
    error_code: str
    error_message: str
    errors: tuple[Mapping[str, str | None], ...]
    row_data: Mapping[str, str] | None
    raw_text: str | None


def of_cells(row_number: int, errors: Sequence[CellError], headers: Sequence[str], cells: Sequence[str]) -> Rejection:
    """The rejection of a record with faulty cells, or that came second (`duplicate`).

    Args:
        row_number: As a spreadsheet shows it.
        errors: One or more, in order.
        headers: The file's own, all of them, also those that mean nothing to the record type; `distinct` ones, so
            that no cell hides another.
        cells: The original texts, one for each header.

    Raises:
        ValueError: There are more cells than headers, or fewer.
    """
    return Rejection(
        row_number=row_number,
        error_code=errors[0].code,
        error_message=storable(errors[0].message),
        errors=tuple(_as_dict(error) for error in errors),
        row_data={storable(header): storable(cell) for header, cell in zip(headers, cells, strict=True)},
        raw_text=None,
    )


def of_unparsable(record: Unparsable) -> Rejection:
    """The rejection of a record that the splitter could not read: it has a text, but no cells."""
    error = CellError("", record.code, record.message, None)
    return Rejection(
        row_number=record.row_number,
        error_code=record.code,
        error_message=storable(record.message),
        errors=(_as_dict(error),),
        row_data=None,
        raw_text=storable(record.raw),
    )


def duplicate(key: Sequence[str], values: Sequence[str], first_upload: UUID | str, first_row: int) -> CellError:
    """The error of a record whose key came before: `DUP_001`, naming the upload and row that came first."""
    fields, value = ", ".join(key), ", ".join(values)
    message = f"{fields} {capped(value, 80)!r} came first in row {first_row} of upload {first_upload}"
    return CellError(fields, "DUP_001", message, capped(value))


def storable(text: str) -> str:
    r"""The text, or where Postgres would refuse it the same marked and escaped: `escaped: a\u0000b`.

    In an escaped text a backslash is doubled, so that it can be told what was there.
    """
    if _REFUSED.search(text) is None and not text.startswith(ESCAPED):
        return text
    return ESCAPED + _CHANGED.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)


def _as_dict(error: CellError) -> Mapping[str, str | None]:
    return {
        "field": error.field,
        "code": error.code,
        "message": storable(error.message),
        "value": None if error.value is None else storable(error.value),
    }


__all__ = ["ESCAPED", "Rejection", "Unparsable", "distinct", "duplicate", "of_cells", "of_unparsable", "storable"]
