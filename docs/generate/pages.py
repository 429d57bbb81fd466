"""Which reference pages there are."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate import api, command, error_codes, messages, metrics, record_types, sdk, settings, tables
from docs.generate.markdown import bullets, document
from ingest_gateway.api.asyncapi import asyncapi

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


_DESCRIPTIONS: Final[Mapping[str, tuple[str, Callable[[], Mapping[str, object]]]]] = {
    "openapi.json": ("The HTTP API for programs (OpenAPI 3.1), as a gateway serves it", api.description),
    "asyncapi.json": ("Topics and messages for programs (AsyncAPI 3), as a gateway serves them", asyncapi),
}


def pages() -> dict[str, str]:
    """Every reference page, by file name."""
    made = {name: make() for name, (_, make) in _PAGES.items()}
    described = {name: json.dumps(make(), indent=1) + "\n" for name, (_, make) in _DESCRIPTIONS.items()}
    return {"README.md": _index(), **made, **described}


def _index() -> str:
    return document(
        "Reference",
        "docs/generate",
        "Made from the code: `make docs` writes these pages anew, and a test fails when one is not what the code says.",
        bullets(f"[{title}]({name})" for name, (title, _) in {**_PAGES, **_DESCRIPTIONS}.items()),
    )
