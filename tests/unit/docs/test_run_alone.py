"""What the guides tell those who run the services is what the services are."""

import re

from docs.generate.pages import ROOT
from record_processor.zombies import SERVICE

HOW_TO = ROOT / "docs" / "how-to"
_LINES = re.MULTILINE


def page(name: str) -> str:
    return (HOW_TO / f"{name}.md").read_text(encoding="utf-8")


def test_the_environment_that_bounds_memory_is_the_images() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    bounds = set(re.findall(r"\b((?:POLARS|MALLOC|ARROW)_[A-Z_]+=\w+)", image))
    assert len(bounds) == 3
    (exported,) = re.findall(r"^export (POLARS.*)$", page("run-services-alone"), flags=_LINES)
    assert set(exported.split()) == bounds


def test_sessions_are_looked_for_by_the_name_that_they_have() -> None:
    assert f"application_name = 'rowstream-{SERVICE}'" in page("alerts/nothing-is-loaded")


def test_every_kind_of_repair_is_explained() -> None:
    source = (ROOT / "auditor" / "reconciler.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r'_try\("(\w+)"', source))
    assert len(kinds) >= 6
    assert set(re.findall(r"^\| `(\w+)` \|", page("alerts/reconciler-repairs"), flags=_LINES)) == kinds


def test_files_are_written_where_the_container_may() -> None:
    commands = re.findall(r"^docker compose run .*cli (?:template|errors) .*$", page("run-with-docker-compose"), _LINES)
    assert commands
    assert all(" -T " in command and " > " in command and " -o" not in command for command in commands)
