"""The tutorial's files are those of examples/flights, block by block, so neither can change without the other."""

import re
from io import BytesIO, StringIO

import pytest

from docs.generate.pages import ROOT
from rowstream.cli import records
from rowstream.records import RecordType, registry
from rowstream.records.sample import write_sample

TUTORIAL = (ROOT / "docs/tutorial/your-own-record-type.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "flights"
NOT_THE_PACKAGE = "import json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL, flags=re.MULTILINE | re.DOTALL)


def package_files() -> tuple[str, str]:
    """The text of __init__.py and of flights.py, as the tutorial has them."""
    first, *parts = (block for block in blocks("python") if not block.startswith(NOT_THE_PACKAGE))
    return first, "\n\n".join(parts)


def declared() -> RecordType:
    names: dict[str, object] = {"__name__": "tutorial"}
    exec(compile(package_files()[1], "tutorial", "exec"), names)  # noqa: S102 - this is the code that readers are shown
    flights = names["FLIGHTS"]
    assert isinstance(flights, RecordType)
    return flights


def test_the_package_is_the_examples() -> None:
    names = ("__init__.py", "flights.py")
    assert package_files() == tuple((EXAMPLE / "rowstream_flights" / n).read_text(encoding="utf-8") for n in names)


def test_the_project_file_is_the_examples() -> None:
    assert blocks("toml") == [(EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")]


def test_a_sample_has_the_faults_that_the_page_shows() -> None:
    truth = StringIO()
    write_sample(declared(), 1000, output=BytesIO(), truth=truth)
    lines = truth.getvalue().splitlines()
    assert "\n".join(lines[:2]) in blocks("text")[1]
    assert re.search(rf"rejected +{len(lines)}  for example", blocks("text")[2])


def test_the_listing_is_what_the_command_prints_of_the_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "record_types", lambda: {"flights": declared()})
    records.record_types()
    assert blocks("text")[0].startswith(capsys.readouterr().out)
