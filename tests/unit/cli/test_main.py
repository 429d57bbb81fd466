import errno
import inspect
import itertools
from collections.abc import Callable
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from rowstream.cli import main as command
from rowstream.cli.client import NoSystem
from rowstream.errors import Fatal

VERBS = list(itertools.chain(*command.VERBS.values()))


def test_help_teaches_every_verb_by_an_example() -> None:
    shown = CliRunner().invoke(command.app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert len(command.examples(VERBS)) == len(VERBS)
    for verb, example in zip(VERBS, command.examples(VERBS), strict=True):
        name = verb.__name__.rstrip("_").replace("_", "-")
        assert f"│ {name} " in shown
        assert f"rowstream {name}" in example
        assert example in shown


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_every_option_is_explained(verb: Callable[..., None]) -> None:
    for parameter in inspect.signature(verb).parameters.values():
        (option,) = parameter.annotation.__metadata__
        assert option.help, f"{verb.__name__} {parameter.name}"


def test_version() -> None:
    assert CliRunner().invoke(command.app, ["--version"]).output == f"rowstream {version('rowstream')}\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Fatal("port 1 is taken"), 1, "rowstream: port 1 is taken\n"),
        (NoSystem("no system runs"), 2, "rowstream: no system runs\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "rowstream: the disk of "),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == code
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EACCES, "a defect")

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(OSError, match="a defect"):
        command.main()


@pytest.mark.parametrize(
    "arguments", [["no-such-verb"], ["up", "--processors", "0"], ["up", "--port", "70000"], ["topics", "--no-such"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command.app, arguments).exit_code == 2


@pytest.mark.parametrize("verb", ["migrate", "topics"])
def test_no_system_is_said(verb: str, tmp_path: object) -> None:
    result = CliRunner().invoke(command.app, [verb, "--state-dir", str(tmp_path)], env={})
    assert isinstance(result.exception, NoSystem)
