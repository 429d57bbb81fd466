"""What the pages written by hand name is there: verbs, options, settings, metrics, error codes."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any

import pytest
import typer

from docs.generate.pages import ROOT
from rowstream.cli.main import app
from rowstream.records import registry
from rowstream.records.sample import write_sample

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if path.parent.name not in {"reference", "decisions"}
}
MAKE_VERBS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
NAMES = re.compile(
    r"\bROWSTREAM_[A-Z0-9_]*[A-Z]"
    r"|\b(?:rowstream|batch_upload)_[a-z0-9_]+_(?:total|seconds|lag|uploads)\b"
    r"|\b(?:FMT|VAL|DUP|S3|UNK)_\d{3}\b"
)


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each command of rowstream in blocks of shell and between backquotes."""
    shell = re.findall(r"^ *```sh\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        found = re.search(r"(?:^|\s)rowstream ([a-z].*)", re.sub(r"\s+#.*", "", line))
        if found and not line.lstrip().startswith(("#", "mkdir", "pip")):
            yield shlex.split(found[1].replace("...", ""))


def unknown(words: list[str]) -> list[str]:
    """Which of a command's words the command does not know: its verb, or an option."""
    group: Any = typer.main.get_command(app)
    verb = group.commands.get(words[0])
    if verb is not None and hasattr(verb, "commands"):
        verb = verb.commands.get(words[1])
    if verb is None:
        return [" ".join(words)]
    options = {option for param in verb.params for option in (*param.opts, *param.secondary_opts)}
    return [word for word in words[1:] if word.startswith("-") and word not in options | {"--help"}]


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_known(page: str) -> None:
    wrong = {" ".join(words): found for words in commands_in(PAGES[page]) if (found := unknown(words))}
    assert not wrong


def test_a_wrong_command_is_found() -> None:
    text = "```sh\nX=1 rowstream up --prot 1  # comment\n```\n`rowstream migrat` `rowstream upload F -t x --wait`"
    assert [unknown(words) for words in commands_in(text)] == [["--prot"], ["migrat"], []]


@pytest.mark.parametrize("page", PAGES)
def test_verbs_of_make_are_known(page: str) -> None:
    named = re.findall(r"(?:^|`)make ([a-z]+)", PAGES[page], flags=re.MULTILINE)
    assert not [verb for verb in named if verb not in MAKE_VERBS]


@pytest.mark.parametrize("page", PAGES)
def test_settings_metrics_and_codes_are_in_the_reference(page: str) -> None:
    reference = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/reference").glob("*.md")))
    assert not [name for name in NAMES.findall(PAGES[page]) if f"`{name}`" not in reference]


def test_the_readme_shows_the_faults_that_the_demo_plants() -> None:
    truth = StringIO()
    write_sample(registry.find("member_certification"), 20_000, output=BytesIO(), truth=truth)
    planted = Counter(json.loads(line)["error_code"] for line in truth.getvalue().splitlines())
    shown = re.findall(r"^ +([A-Z]+_\d{3}) +(\d+)  row", PAGES["README.md"], flags=re.MULTILINE)
    assert {code: int(count) for code, count in shown} == planted
