"""Ports of this machine: free ones, the same ones as last time where they still are, and who holds one that is not."""

import random
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import psutil

from rowstream.errors import Fatal

if TYPE_CHECKING:
    from psutil._ntuples import pconn, sconn

ANOTHER_API_PORT = "give another one with --port"
"""What to do where the API's port is taken."""
ANOTHER_PORT = "end `rowstream up` and start it again, it takes another one then"
"""What to do where a port is taken that `rowstream up` chose itself."""
_LOWEST, _HIGHEST = 20_000, 29_999  # below the range that the kernel takes for outgoing connections


class PortTaken(Fatal):
    """Somebody else listens on the port that was asked for."""


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on 127.0.0.1 at `port` now."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: Iterable[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the remembered one if it is still free, otherwise any that is.

    Raises:
        Fatal: hardly a port is free on this machine.
    """
    chosen: dict[str, int] = {}
    for name in names:
        last = remembered.get(name)
        usable = last is not None and last not in chosen.values() and is_free(last)
        chosen[name] = last if usable and last is not None else _any_free(chosen.values())
    return chosen


def _any_free(but: Iterable[int]) -> int:
    for port in random.sample(range(_LOWEST, _HIGHEST), 1_000):
        if port not in but and is_free(port):
            return port
    raise Fatal(f"no free port found between {_LOWEST} and {_HIGHEST}; end some of the servers on this machine")


def require(port: int, advice: str = ANOTHER_API_PORT) -> None:
    """Check that `port` is ours to take.

    Args:
        port: the port.
        advice: what to do but to stop who holds it.

    Raises:
        PortTaken: says which port, who holds it if that can be seen, and what to do.
    """
    if not is_free(port):
        raise PortTaken(f"port {port} is taken by {holder(port)}; stop it, or {advice}")


def holder(port: int) -> str:
    """Who listens on `port`, as far as this user may see."""
    try:
        if pid := _listener(port):
            return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        pass
    return "another program"


def stopped(port: int) -> int | None:
    """The process that listens on `port` if it stands still by SIGSTOP; None if it runs, or cannot be seen."""
    try:
        pid = _listener(port)
        return pid if pid and psutil.Process(pid).status() == psutil.STATUS_STOPPED else None
    except psutil.Error:
        return None


def _listener(port: int) -> int | None:
    servers = [server for server in psutil.net_connections("tcp") if _listens_here(server, port)]
    return next((server.pid for server in servers if server.pid), None)


def listens(pid: int, port: int) -> bool:
    """Whether the process itself is it who listens on `port`."""
    try:
        return any(_listens_here(one, port) for one in psutil.Process(pid).net_connections("tcp"))
    except psutil.Error:
        return False


def stranger(port: int, parent: int | None) -> str | None:
    """Who listens on `port` and is not a process that the process `parent` started; None if nobody listens, or that.

    This is how a client sees whom it would show its key: a program that answers like ours is not ours for that.
    """
    try:
        if parent and any(listens(child.pid, port) for child in psutil.Process(parent).children()):
            return None
    except psutil.NoSuchProcess:
        pass
    if not any(_listens_here(server, port) for server in psutil.net_connections("tcp")):
        return None
    return holder(port)


def _listens_here(connection: "pconn | sconn", port: int) -> bool:
    """Whether it is a server's, and what is sent to 127.0.0.1 at `port` may come to it."""
    if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
        return False
    return connection.laddr.ip in {"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"}  # noqa: S104 - compared, not bound
