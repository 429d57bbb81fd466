"""The page about the ASVS names nothing that is not there, and claims nothing without a test."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/explanation/asvs.md"
STATES = ("met", "in part", "yours", "open")
_ID = re.compile(r"V\d{1,2}\.\d{1,2}\.\d{1,2}")


class Row(NamedTuple):
    ids: str
    asked: str
    state: str
    where: str
    tests: str


def rows(page: str) -> list[Row]:
    cells = [line.strip("|").split(" | ") for line in page.splitlines() if _ID.match(line.removeprefix("| "))]
    return [Row(*(cell.strip(" |") for cell in [*row, "", ""][:5])) for row in cells]


ROWS = rows(PAGE.read_text(encoding="utf-8"))


def missing(row: Row) -> list[str]:
    """What a row names that is not there."""
    names: list[str] = re.findall(r"`([^`]+)`", f"{row.where} {row.tests}")
    return [name for name in names if not _is_there(name)]


def _is_there(name: str) -> bool:
    path, _, test = name.partition("::")
    file = ROOT / path
    return file.exists() and (not test or re.search(rf"def {test}\(", file.read_text(encoding="utf-8")) is not None)


def test_there_are_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.ids)
def test_what_a_row_names_is_there(row: Row) -> None:
    assert missing(row) == []
    state = next(state for state in STATES if row.state.startswith(state))
    assert state == "open" or row.where
    assert state in ("open", "yours") or "tests/" in row.tests


def test_no_requirement_is_judged_twice() -> None:
    ids = [one for row in ROWS for one in _ID.findall(row.ids)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["tests/unit/docs/test_asvs.py::test_nothing", "splitter/no_such_module.py"])
def test_what_is_not_there_is_found(name: str) -> None:
    assert missing(Row("V1.1.1", "", "met", "`splitter/split.py`", f"`{name}`")) == [name]
