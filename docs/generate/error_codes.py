"""The page of the error codes, from the one list of them."""

from collections.abc import Iterator
from typing import Final

from docs.generate.markdown import code, document, table
from docs.generate.record_types import built_in
from rowstream.records import ERROR_CODES

UPLOAD_CODES: Final = {
    "S3_001": "the object store refused or did not answer, five times in a row",
    "S3_002": "the file is not in the object store any more",
    "S3_003": "the file was replaced after it was confirmed",
    "S3_004": "the file was never sent, or never confirmed, in time",
    "UNK_001": "some records could not be processed for a reason that is not in the file, or splitting failed",
}
"""Codes of the families `S3_*` and `UNK_*` that an upload fails with; a test finds every one that the code gives."""

_NOT_YET: Final = (
    "Not in this version: the search for a record that makes the database refuse a chunk (`DB_001`), and trying a "
    "failed upload again. A chunk that fails alone is `unprocessed` at once, and its upload fails with `UNK_001` when "
    "its other chunks are done; hand the file in again as a new upload when the cause is gone."
)


def page() -> str:
    """Every code."""
    return document(
        "Error codes",
        "rowstream/records/errors.py",
        "A rejected record has all its errors, ordered by code and then by the columns' order; the first one's code is "
        "the record's `error_code`. A code that ends in `_*` stands for a family.",
        table(["code", "meaning", "what happens"], ((code(one.code), one.meaning, one.effect) for one in ERROR_CODES)),
        _NOT_YET,
        "## Why an upload as a whole fails",
        "An upload that failed has a `failure_code`, and a `failure_message` that says what was found and what to do. "
        "The code is one of `FMT_001` to `FMT_005`, or one of these:",
        table(["code", "meaning"], ((code(name), meaning) for name, meaning in UPLOAD_CODES.items())),
        "## Business rules of the built-in record types",
        table(["record type", "code", "the rule"], _rules()),
        "A record type of your own gives its own `BIZ_*` codes, and may give `VAL_*` codes of its own to columns (the "
        "column's metadata, see the [SDK](record-type-sdk.md)).",
    )


def _rules() -> Iterator[tuple[str, str, str]]:
    for record_type in built_in():
        for rule in record_type.rules:
            yield code(record_type.name), code(rule.code), rule.message
