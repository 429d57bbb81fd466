"""The command that says what is wrong, and what to do about it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rowstream.cli.client import NoSystem
from rowstream.cli.options import DEFAULT_STATE_DIR, JsonOption, StateDirOption
from rowstream.cli.output import answer, answer_json, answer_table, note
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    from pathlib import Path

    from rowstream.cli.checks import Finding


def doctor(
    *,
    invariants: Annotated[
        bool, typer.Option("--invariants", help="Check that no record was lost or counted twice (I1 to I3), instead.")
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="ROWSTREAM_DATABASE__URL", help="For --invariants: which database; else the running system's."
        ),
    ] = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Say what is wrong with this machine or with the running system, and what to do about it.

    Exits with 1 if anything is wrong.

    Example: rowstream doctor --invariants
    """
    wrong = _check_invariants(database, state_dir, json=json) if invariants else _check_system(state_dir, json=json)
    if wrong:
        raise typer.Exit(1)


def _check_system(state_dir: "Path", *, json: bool) -> bool:
    # Every client library there is; only this command needs them.
    from rowstream.cli import checks  # noqa: PLC0415
    from rowstream.cli.machine_checks import machine_checks  # noqa: PLC0415
    from rowstream.cli.system_checks import system_checks  # noqa: PLC0415

    state = StateDir(state_dir)
    system = Addresses.saved(state)
    findings = [checks.look(check, state) for check in machine_checks(state)]
    if system is None:
        findings.append(checks.no_system(state))
    elif not state.is_held():
        findings.append(checks.gone(state))
    else:
        findings += [checks.look(check, state) for check in system_checks(system, state)]
    _show(findings, json=json)
    return not all(finding.ok for finding in findings)


def _show(findings: "list[Finding]", *, json: bool) -> None:
    if json:
        answer_json([asdict(finding) for finding in findings])
        return
    answer_table(
        ["", "check", "found", "what to do"],
        [["ok" if one.ok else "WRONG", one.check, one.found, one.advice] for one in findings],
    )


def _check_invariants(database: str | None, state_dir: "Path", *, json: bool) -> bool:
    from rowstream.database.invariants import check  # noqa: PLC0415 - only this command needs the database

    system = Addresses.saved(StateDir(state_dir))
    url = database or (system.database if system else None)
    if url is None:
        raise NoSystem(f"no system runs on {state_dir}: start one with `rowstream up`, or give --database")
    if not json:
        note("reading every row that was loaded; some seconds for each million")
    violations = check(url)
    if json:
        answer_json([asdict(violation) for violation in violations])
    else:
        for violation in violations:
            answer(str(violation))
        if not violations:
            answer("I1, I2 and I3 hold: every record has exactly one outcome, and all counts agree")
    return bool(violations)
