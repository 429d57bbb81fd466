import re
from pathlib import Path

import pytest

from docs.generate import markdown
from docs.generate.pages import FOLDER, ROOT, pages
from rowstream import records
from rowstream.database.catalogue import metadata
from rowstream.records import ERROR_CODES

CODE = re.compile(r'"((?:FMT|VAL|BIZ|DUP|DB|S3|UNK)_\d{3})"')
VARIABLE = re.compile(r'"(ROWSTREAM_[A-Z]+(?:_[A-Z]+)*)"')
PACKAGES = ("ingest_gateway", "splitter", "record_processor", "auditor", "rowstream")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def source(*folders: str) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for name in folders for path in sorted((ROOT / name).rglob("*.py"))
    )


def test_every_reference_page_is_what_the_code_says(made: dict[str, str]) -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    stale = [name for name in made.keys() | stored.keys() if made.get(name) != stored.get(name)]
    assert not stale, f"{', '.join(sorted(stale))}: run `make docs`"


def test_making_the_pages_twice_gives_the_same_bytes(made: dict[str, str]) -> None:
    assert pages() == made


def test_every_table_is_on_the_page(made: dict[str, str]) -> None:
    assert sorted(re.findall(r"^## (\w+)$", made["tables.md"], flags=re.MULTILINE)) == sorted(metadata.tables)


def test_every_error_code_in_the_code_is_on_the_page(made: dict[str, str]) -> None:
    listed = {one.code for one in ERROR_CODES}
    given = set(CODE.findall(source(*PACKAGES)))
    assert given <= listed
    assert all(f"`{code}`" in made["error-codes.md"] for code in given)


def test_every_variable_that_the_command_reads_is_on_the_page(made: dict[str, str]) -> None:
    read = set(VARIABLE.findall(source("rowstream/cli")))
    assert "ROWSTREAM_URL" in read
    assert not [name for name in read if f"`{name}`" not in made["settings.md"]]


def test_every_public_name_of_the_sdk_has_a_text(made: dict[str, str]) -> None:
    sections = re.split(r"^## ", made["record-type-sdk.md"], flags=re.MULTILINE)
    texts = {section.partition("\n")[0]: section.partition("\n")[2] for section in sections[1:]}
    for name in records.__all__:
        assert texts[name].strip(), name


def test_no_page_tells_of_the_machine_that_made_it(made: dict[str, str]) -> None:
    for name, text in made.items():
        assert str(ROOT) not in text, name
        assert str(Path.home()) not in text, name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One line\nand another.", "One line and another."),
        ("First.\n\nSecond.", "First.\n\nSecond."),
        ("What.\n\nRaises:\n    Fatal: it is\n        wrong.", "What.\n\nRaises:\n\n- `Fatal`: it is wrong."),
        ("What.\n\nReturns:\n    The thing.", "What.\n\nReturns:\n\n- The thing."),
        (None, ""),
    ],
)
def test_docstrings_become_markdown(text: str | None, shown: str) -> None:
    assert markdown.prose(text) == shown


def test_a_table_leaves_empty_columns_out_and_escapes_bars() -> None:
    drawn = markdown.table(["a", "b", "c"], [("1", "", "x|y"), ("2", "", "z\nz")])
    assert drawn == "| a | c |\n| --- | --- |\n| 1 | x\\|y |\n| 2 | z z |"
    assert markdown.table(["a"], []) == ""
