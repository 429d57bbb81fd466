"""Each pain of others that the page lists is answered by tests that exist, and that name the report in question."""

import ast
import re
from pathlib import Path

import pytest

from docs.generate.pages import ROOT

PAGE = ROOT / "docs" / "explanation" / "what-others-lose.md"
TEST = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
REPORT = re.compile(r"\[([^\]`]+) (\d+)\]\(https://github\.com/[\w./-]+/issues/(\d+)\)")
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "---" not in line]
PAINS = [row for row in ROWS if not row.endswith("| shown by |")]


def defined_in(path: Path) -> dict[str, str]:
    """The tests of a file with what they say of themselves."""
    functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef))
    return {node.name: ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")}


def wrong_with(row: str) -> list[str]:
    """What a row of the page says that is not so."""
    named = [(name, defined_in((PAGE.parent / path).resolve()).get(name)) for name, path in TEST.findall(row)]
    said = " ".join(told for _, told in named if told)
    return [
        *([] if named else ["no test"]),
        *(f"there is no {name}" for name, told in named if told is None),
        *(f"{number} leads to {linked}" for _, number, linked in REPORT.findall(row) if number != linked),
        *(
            f"no test names {program} {number}"
            for program, number, _ in REPORT.findall(row)
            if not re.search(rf"{program} (\d+ and )*{number}\b", said)
        ),
    ]


@pytest.mark.parametrize("row", PAINS, ids=lambda row: row[2:50])
def test_what_a_row_says_is_so(row: str) -> None:
    assert wrong_with(row) == []


def test_every_report_has_a_row() -> None:
    assert len({number for row in PAINS for _, number, _ in REPORT.findall(row)}) == 12


def test_what_is_not_so_is_found() -> None:
    here = f"../../{Path(__file__).relative_to(ROOT)}"
    report = "[X 7](https://github.com/x/x/issues/8)"
    assert wrong_with(f"| a | b | [`{test_every_report_has_a_row.__name__}`]({here}) |") == []
    assert wrong_with(f"| {report} | b | [`test_gone`]({here}) |") == [
        "there is no test_gone",
        "7 leads to 8",
        "no test names X 7",
    ]
    assert wrong_with("| a | b | c |") == ["no test"]
