"""Which reference pages there are."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate import api, command, error_codes, messages, metrics, record_types, sdk, settings, tables
from docs.generate.markdown import bullets, document

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "reference"

_PAGES: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "command.md": ("The `rowstream` command: every verb, its options and an example", command.page),
    "settings.md": ("Settings: every environment variable, its type, default and meaning", settings.page),
    "api.md": ("The HTTP API: operations, parameters, answers, bodies, with curl", api.page),
    "error-codes.md": ("Error codes: what each means and what it causes", error_codes.page),
    "record-types.md": ("Built-in record types: columns, rules, key", record_types.page),
    "record-type-sdk.md": ("The record type SDK: all public names", sdk.page),
    "messages.md": ("Topics and messages: keys, headers, fields", messages.page),
    "tables.md": ("Tables: every column of the database", tables.page),
    "metrics.md": ("Metrics: name, type, labels, meaning", metrics.page),
}


def pages() -> dict[str, str]:
    """Every reference page, by file name."""
    made = {name: make() for name, (_, make) in _PAGES.items()}
    return {"README.md": _index(), **made}


def _index() -> str:
    return document(
        "Reference",
        "docs/generate",
        "Made from the code: `make docs` writes these pages anew, and a test fails when one is not what the code says.",
        bullets(f"[{title}]({name})" for name, (title, _) in _PAGES.items()),
    )
