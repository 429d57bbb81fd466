"""The page of the error codes, from the one list of them."""

from collections.abc import Iterator

from docs.generate.markdown import code, document, table
from docs.generate.record_types import built_in
from rowstream.records import ERROR_CODES


def page() -> str:
    """Every code."""
    return document(
        "Error codes",
        "rowstream/records/errors.py",
        "A rejected record has all its errors, ordered by code and then by the columns' order; the first one's code is "
        "the record's `error_code`. A code that ends in `_*` stands for a family.",
        table(["code", "meaning", "what happens"], ((code(one.code), one.meaning, one.effect) for one in ERROR_CODES)),
        "## Why an upload as a whole fails",
        "An upload that failed has a `failure_code`, and a `failure_message` that says what was found and what to do. "
        "The code is one of `FMT_*` and `S3_*`, `DUP_002`, or `UNK_001`: it could not be split, or some of its records "
        "are unprocessed. `rowstream dead-letters list` shows those, each with its own `DB_*` or `UNK_*` code; "
        "how to go on says [repair an upload](../how-to/repair-an-upload.md).",
        "## Business rules of the built-in record types",
        table(["record type", "code", "the rule"], _rules()),
        "A record type of your own gives its own `BIZ_*` codes, and may give `VAL_*` codes of its own to columns (the "
        "column's metadata, see the [SDK](record-type-sdk.md)).",
    )


def _rules() -> Iterator[tuple[str, str, str]]:
    for record_type in built_in():
        for rule in record_type.rules:
            yield code(record_type.name), code(rule.code), rule.message
