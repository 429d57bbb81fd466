"""What the demo does, step by step."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rowstream.cli import asking, demo_check, demo_files
from rowstream.cli.client import Target, api
from rowstream.cli.demo_files import DemoFile
from rowstream.cli.demo_screen import Screen
from rowstream.cli.local_file import local_file
from rowstream.cli.sending import send
from rowstream.cli.summary import headline, outcomes
from rowstream.cli.words import count, counted, size, span
from rowstream.database.invariants import check
from rowstream.errors import RowstreamError
from rowstream.stack.addresses import Addresses
from rowstream.stack.background import in_background
from rowstream.stack.system import Options

STATE = "state"
_SHOWN_DIFFERENCES = 20
_STALL_SECONDS = 120.0


class Stalled(RowstreamError):
    """An upload does not move any more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: the upload at its end, and the records that were rejected."""

    file: DemoFile
    upload: asking.Upload
    rejected: list[demo_check.Rejected]

    def differences(self) -> list[str]:
        """What is not as planned."""
        return demo_check.differences(self.file.records, self.file.planted, self.upload, self.rejected)


def show(screen: Screen, folder: Path) -> bool:
    """Do and show everything, in an empty folder; returns whether all went as planned.

    Raises:
        RowstreamError: something could not be done at all.
    """
    screen.title(
        "rowstream",
        "Every line of a file becomes exactly one of two things: a row in a typed Postgres table, or a rejection that "
        "says what was wrong with which cell.",
    )
    screen.step("Start a system", "A broker, a database, an object store and four services, all on this machine.")
    begun = time.monotonic()
    with ExitStack() as running:
        with screen.starting() as tell:
            system = running.enter_context(in_background(Options(state_dir=folder / STATE, port=0), tell))
        screen.good(f"ready after {span(time.monotonic() - begun)}; all that it stores is in {folder}")
        results = [_upload(screen, system, file) for file in _files(screen, folder)]
        right = _check(screen, system, results)
        screen.step("Stop", "The services finish what they hold, then the servers end.")
    return right


def say_goodbye(screen: Screen, folder: Path) -> None:
    """Say what is left, and where to go next; to be called when all is stopped."""
    kept = folder.exists()
    screen.good(f"everything is stopped, and {folder} is {'kept' if kept else 'removed'}")
    here = f" --state-dir {folder / STATE}" if kept else ""
    screen.commands(
        "Where to go next",
        _reachable()
        | {
            f"rowstream up{here}": "run a system until Ctrl-C; its address opens in a browser",
            "rowstream template TYPE": "a file to fill in; `rowstream record-types` lists the types",
            "rowstream upload FILE -t TYPE": "upload a file of yours",
            "rowstream errors ID": "what was rejected, to correct and hand in again",
            "rowstream --help": "all commands; docs/ has a tutorial: your own record type",
        },
    )


def _reachable() -> dict[str, str]:
    """What makes the command known to a shell that does not know it, as after `make demo`."""
    program = Path(sys.argv[0])
    enter = program.with_name("activate")
    if shutil.which(program.name) or not enter.is_file():
        return {}
    return {f". {shlex.quote(os.path.relpath(enter))}": "once in each terminal, so that it knows rowstream"}


def _files(screen: Screen, folder: Path) -> list[DemoFile]:
    screen.step("Get files", "One real, one made up; what must be rejected is written down beforehand.")
    files = []
    try:
        files.append(
            demo_files.flights(lambda path: screen.say(f"downloading flights.csv, this once; it is kept as {path}"))
        )
    except demo_files.LeftOut as reason:
        screen.say(f"flights.csv is left out: {reason}")
    files.append(demo_files.members(folder))
    for file in files:
        screen.good(f"{file.path.name:<12} {size(file.path.stat().st_size):>8}   {file.about}")
    return files


def _upload(screen: Screen, system: Addresses, file: DemoFile) -> Outcome:
    screen.step(f"Upload {file.path.name}", file.story)
    with api(Target(system.gateway, system.api_key)) as client:
        with local_file(file.path) as source, screen.progress(file.path, source.size) as view:
            accepted = send(client, source, file.record_type, view.sent)
            upload = asking.follow(client, accepted["id"], _unless_stalled(view.seen))
        screen.say(headline(upload))
        screen.show(outcomes(upload, asking.examples(client, upload)))
        report = b"".join(asking.report(client, upload["id"], "jsonl"))
    return Outcome(file, upload, demo_check.rejected(report.splitlines()))


def _unless_stalled(seen: Callable[[asking.Upload], None]) -> Callable[[asking.Upload], None]:
    """`seen`, which raises Stalled when an upload has not changed for long: nobody may be there to press Ctrl-C."""
    last: object = None
    since = time.monotonic()

    def look(upload: asking.Upload) -> None:
        nonlocal last, since
        seen(upload)
        now = [upload[name] for name in ("version", "bytes_read", "records_split", "processed_records")]
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > _STALL_SECONDS:
            raise Stalled(
                f"the upload has not moved for {_STALL_SECONDS:.0f} s; the logs may say why: "
                f"`rowstream demo --keep` keeps them, in {STATE}/logs of its folder"
            )

    return look


def _check(screen: Screen, system: Addresses, results: list[Outcome]) -> bool:
    screen.step("Check", "Every rejected row against the planted ones, every count against the others.")
    wrong = [result for result in results if not _check_one(screen, result)]
    violations = [str(violation) for violation in check(system.database)]
    for violation in violations:
        screen.bad(violation)
    if not violations:
        screen.good("every record has exactly one outcome; rows, ledger and audit log agree")
    return not wrong and not violations


def _check_one(screen: Screen, result: Outcome) -> bool:
    name, planted = result.file.path.name, len(result.file.planted)
    loaded = f"{counted(result.file.records - planted, 'record')} loaded"
    wrong = result.differences()
    for line in wrong[:_SHOWN_DIFFERENCES]:
        screen.bad(f"{name}: {line}")
    if len(wrong) > _SHOWN_DIFFERENCES:
        screen.bad(f"{name}: and {count(len(wrong) - _SHOWN_DIFFERENCES)} more differences")
    if not wrong and planted:
        screen.good(f"{name}: {loaded}; the {count(planted)} rejected are exactly the planted ones")
    elif not wrong:
        screen.good(f"{name}: {loaded}, none rejected")
    return not wrong
