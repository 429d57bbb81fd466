import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rowstream.cli.options import DEFAULT_STATE_DIR
from rowstream.cli.starting import StartView, say_ready
from rowstream.stack.addresses import Addresses
from rowstream.stack.runner import Announcing, Ended, Jammed, Ready, Recycled, Starting


def play(view: StartView) -> None:
    with view:
        view.tell(Starting(("broker", "splitter")))
        view.tell(Ready("broker", 0.25))
        view.tell(Ready("splitter", 1.0))
        view.started()
        view.tell(Ended("broker", "was killed by SIGKILL", 0.2, Path("broker.log")))
        view.tell(Ready("broker", 0.25))


def test_a_log_gets_a_line_for_each_part_that_is_ready_and_for_what_matters_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play(StartView(Path("state")))
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d starting on state: broker, splitter\n"
        r"\d\d:\d\d:\d\d broker is ready \(0\.2 s\)\n"
        r"\d\d:\d\d:\d\d splitter is ready \(1\.0 s\)\n"
        r"\d\d:\d\d:\d\d broker was killed by SIGKILL; starting it again in 0\.2 s \(log: broker\.log\)\n"
        r"\d\d:\d\d:\d\d broker is ready again\n",
        capsys.readouterr().err,
    )


def test_a_person_sees_the_parts_come_up() -> None:
    screen = io.StringIO()
    play(StartView(Path("state"), Console(file=screen, force_terminal=True, width=120, color_system=None)))
    shown = screen.getvalue()
    assert "✓ broker 0.2 s" in shown
    assert "✓ splitter 1.0 s" in shown
    assert "starting on state" in shown


def test_of_a_broker_that_cannot_be_freed_it_is_said_what_stays_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    view, mb = StartView(Path("state")), 1 << 20
    view.tell(Announcing("broker", ("visit", "flights")))
    view.tell(Recycled("broker", 9.0, 120 * mb, 20 * mb, 100 * mb, None))
    view.tell(Recycled("broker", 9.0, 160 * mb, 100 * mb, 100 * mb, None))
    view.tell(Recycled("broker", 0.0, 0, 0, 100 * mb, "the broker does not answer"))
    warned, freed, full, failed = capsys.readouterr().err.splitlines()
    assert warned.startswith("broker keeps every accepted record of visit, flights in memory: ")
    assert freed.endswith("broker freed: 120 MB before, 20 MB now (9 s)")
    assert "100 MB now (9 s), more than 100 MB: what is announced stays" in full
    assert all("a real Kafka (--broker)" in line for line in (warned, full))
    assert failed.endswith("broker not freed, to be tried again: the broker does not answer")


def test_a_broker_that_is_started_anew_is_told_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    StartView(Path("state")).tell(Jammed("broker", "splitter"))
    assert "broker lets splitter into no group; starting it anew" in capsys.readouterr().err


SYSTEM = Addresses(
    gateway="http://127.0.0.1:8000",
    broker="127.0.0.1:9092",
    database="postgresql://rowstream:hidden@127.0.0.1:5432/rowstream",
    storage="http://127.0.0.1:9000",
    bucket="rowstream",
    api_key="rs_hidden",
    metrics={},
    owner="owner@localhost",
    owner_password="hidden",  # noqa: S106 - looked for below
)


def test_a_log_gets_one_line_with_every_address(capsys: pytest.CaptureFixture[str]) -> None:
    say_ready(SYSTEM, Path("/s"), for_person=False)
    assert capsys.readouterr().out == (
        f"ready  {SYSTEM.line()}  api key in /s/api_key  owner owner@localhost  password in /s/owner_password\n"
    )
    say_ready(replace(SYSTEM, owner=""), Path("/s"), for_person=False)
    assert capsys.readouterr().out == f"ready  {SYSTEM.line()}  api key in /s/api_key\n"


def test_a_person_is_also_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    say_ready(SYSTEM, Path("/a b"), for_person=True)
    shown = capsys.readouterr().out
    assert "  API       http://127.0.0.1:8000  (opens in a browser)\n  API key   in /a b/api_key\n" in shown
    assert "  owner     owner@localhost  password in /a b/owner_password\n" in shown
    assert "Ctrl-C stops it" in shown
    assert shown.endswith("rowstream upload FILE --record-type TYPE --state-dir '/a b'\n")
    assert "hidden" not in shown


def test_the_usual_folder_needs_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    say_ready(SYSTEM, DEFAULT_STATE_DIR, for_person=True)
    assert capsys.readouterr().out.endswith("rowstream upload FILE --record-type TYPE\n")
