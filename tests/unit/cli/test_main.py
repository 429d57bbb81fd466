import errno
import inspect
import re
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from rowstream.cli import main as command
from rowstream.cli.client import NoSystem
from rowstream.errors import Fatal

VERBS = dict(command.every_verb())


def help_of(*words: str) -> str:
    return CliRunner().invoke(command.app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output


def test_help_teaches_every_verb_by_an_example() -> None:
    shown = help_of()
    assert len(command.examples()) == len(VERBS)
    for name, example in zip(VERBS, command.examples(), strict=True):
        assert f"│ {name.partition(' ')[0]} " in shown
        assert f"rowstream {name}" in example
        assert f"{example}\n" in re.sub(r" +\n", "\n", shown)


def test_help_names_the_verbs_in_the_order_of_their_use() -> None:
    firsts = dict.fromkeys(name.partition(" ")[0] for name in VERBS)
    assert re.findall(r"^│ ([a-z-]+)  +[A-Z]", help_of(), flags=re.MULTILINE) == list(firsts)


def test_help_of_a_group_names_its_verbs() -> None:
    names = re.findall(r"^│ ([a-z-]+)  +[A-Z]", help_of("key"), flags=re.MULTILINE)
    assert names == ["create", "list", "rotate", "revoke"]


@pytest.mark.parametrize("name", VERBS)
def test_the_help_breaks_no_line_where_the_source_does(name: str) -> None:
    shown = help_of(*name.split())
    for paragraph in (inspect.getdoc(VERBS[name]) or "").split("\n\n"):
        assert " ".join(paragraph.split())[:190] in shown


@pytest.mark.parametrize("name", VERBS)
def test_every_option_is_explained(name: str) -> None:
    for parameter in inspect.signature(VERBS[name]).parameters.values():
        (option,) = parameter.annotation.__metadata__
        assert option.help, f"{name} {parameter.name}"


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


@pytest.mark.parametrize("verb", ["migrate", "topics", "key list"])
def test_no_system_is_said(verb: str, tmp_path: object) -> None:
    result = CliRunner().invoke(command.app, [*verb.split(), "--state-dir", str(tmp_path)], env={})
    assert isinstance(result.exception, NoSystem)


def test_a_broker_that_does_not_answer_is_no_difference_of_topics() -> None:
    result = CliRunner().invoke(command.app, ["topics", "--broker", "127.0.0.1:1"])
    assert isinstance(result.exception, NoSystem)
    assert "127.0.0.1:1 does not answer" in str(result.exception)
