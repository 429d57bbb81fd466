"""Error codes as data: what each means and what it causes. Documentation and services read the same list."""

from dataclasses import dataclass
from typing import Final, NamedTuple

VALUE_CAP: Final = 256
"""Characters of a cell that are kept beside an error; the whole cell is in the record's original text."""

_REJECTED: Final = "the record is rejected, no retry"
_UNPROCESSED: Final = "its records are unprocessed, and the upload fails once its other chunks are done"
_GIVEN_UP: Final = (
    "the chunk's records are unprocessed; the upload fails once its other chunks are done, and may be retried"
)
_ENDED: Final = "the upload fails; hand the file in again, as a new upload"
_FILE: Final = "the upload fails before any chunk; the message names what was found and what was expected"


@dataclass(frozen=True)
class ErrorCode:
    """One code of the list.

    Attributes:
        code: As stored and shown, such as `VAL_001`. One that ends in `_*` stands for a family.
        meaning: What is wrong, in a few words.
        effect: What rowstream does about it.
    """

    code: str
    meaning: str
    effect: str


class CellError(NamedTuple):
    """One fault of one record.

    Attributes:
        field: The column's name; several, joined by a comma and a space, where the fault concerns them together.
        code: One of `ERROR_CODES`, or a record type's own `VAL_` or `BIZ_` code.
        message: For people: the rule, and what was found.
        value: The cell's text as it came, at most `VALUE_CAP` characters; None where there was none.
    """

    field: str
    code: str
    message: str
    value: str | None


ERROR_CODES: Final[tuple[ErrorCode, ...]] = (
    ErrorCode("FMT_001", "the file is empty", _FILE),
    ErrorCode("FMT_002", "the file is not text", _FILE),
    ErrorCode("FMT_003", "a required column is missing", _FILE),
    ErrorCode("FMT_004", "a column is repeated", _FILE),
    ErrorCode("FMT_005", "too many columns, or the header is too long", _FILE),
    ErrorCode("VAL_001", "required cells are missing", _REJECTED),
    ErrorCode("VAL_002", "not a date or time in the form asked for", _REJECTED),
    ErrorCode("VAL_003", "not an e-mail address", _REJECTED),
    ErrorCode("VAL_004", "not an allowed value", _REJECTED),
    ErrorCode("VAL_005", "not an integer", _REJECTED),
    ErrorCode("VAL_006", "the wrong number of cells", _REJECTED),
    ErrorCode("VAL_007", "bytes that are not UTF-8, or a NUL", _REJECTED),
    ErrorCode("VAL_008", "a quote that is not closed", _REJECTED),
    ErrorCode("VAL_009", "a cell or record that is too large", _REJECTED),
    ErrorCode("VAL_010", "not a number", _REJECTED),
    ErrorCode("VAL_011", "outside the allowed range or length", _REJECTED),
    ErrorCode("VAL_012", "does not match the pattern", _REJECTED),
    ErrorCode("BIZ_*", "a business rule; judged only for records without a VAL error", _REJECTED),
    ErrorCode(
        "DUP_001",
        "the key is already loaded, or earlier in this file; judged only for records without any other error",
        "the record is rejected, the one that has the key named",
    ),
    ErrorCode(
        "DUP_002",
        "the same file came before, as the same record type, and the organization refuses that",
        "the upload fails before any chunk; the message names the upload that has it",
    ),
    ErrorCode(
        "DB_001",
        "the database refuses this record alone",
        "the record is found by halving its chunk and rejected; the others are loaded",
    ),
    ErrorCode(
        "DB_002",
        "the database fails at a chunk, and at no record alone",
        "the chunk is tried 3 times, with longer and longer waits; then " + _UNPROCESSED,
    ),
    ErrorCode(
        "S3_001",
        "the object store is there, and refused or could not give this object",
        "reading is tried 5 times, with longer and longer waits; then the upload fails, and may be retried. While the"
        " store is away uploads wait for it, and no try is used up",
    ),
    ErrorCode("S3_002", "the file is not in the object store any more", _ENDED),
    ErrorCode("S3_003", "the file was replaced after it was confirmed", _ENDED),
    ErrorCode(
        "S3_004",
        "the file was never sent or confirmed in time, or whoever began the upload dropped it",
        "the upload fails; begin a new one",
    ),
    ErrorCode(
        "UNK_001",
        "something that nobody foresaw",
        "the chunk is tried 3 times; then " + _UNPROCESSED + ". An upload that cannot be split fails at once",
    ),
    ErrorCode("UNK_002", "the record processor died at this chunk, each time that it was tried", _GIVEN_UP),
    ErrorCode("UNK_003", "the message of a chunk cannot be read", _GIVEN_UP),
    ErrorCode("UNK_004", "the record type is not installed in the record processor", _GIVEN_UP),
)
"""Every code that rowstream itself gives, in the order of the documentation."""


def capped(value: str, limit: int = VALUE_CAP) -> str:
    """The text, or its first `limit` characters and an ellipsis (which counts): rejections stay small."""
    return value if len(value) <= limit else value[: limit - 1] + "…"
