"""Ports of this machine: free ones, the same ones as last time where they still are, and who holds one that is not."""

import random
import socket
from collections.abc import Iterable, Mapping

import psutil

from rowstream.errors import Fatal

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


def require(port: int) -> None:
    """Check that `port` is ours to take.

    Raises:
        PortTaken: says which port, who holds it if that can be seen, and what to do.
    """
    if not is_free(port):
        raise PortTaken(f"port {port} is taken by {holder(port)}; stop it, or give another one with --port")


def holder(port: int) -> str:
    """Who listens on `port`, as far as this user may see."""
    try:
        servers = [server for server in psutil.net_connections("tcp") if server.status == psutil.CONN_LISTEN]
        pid = next((server.pid for server in servers if server.laddr and server.laddr.port == port), None)
        if pid:
            return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        pass
    return "another program"
