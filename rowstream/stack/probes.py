"""How to see that a part is ready."""

import http.client
import json
import socket

from rowstream.stack import ports
from rowstream.stack.part import Probe

_TIMEOUT = 2.0


def listens(port: int) -> Probe:
    """Ready when the part takes connections at `port`: itself, no program that happens to hold the port."""

    def probe(pid: int) -> str | None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT).close()
        except OSError:
            return f"port {port} to open"
        return _to_be_its_own(port, pid)

    return probe


def answers_ready(port: int) -> Probe:
    """Ready when the part answers GET /readyz at `port` with 200; until then, what that answer says it is waiting for.

    The part itself: whatever program holds the port may answer like it.
    """

    def probe(pid: int) -> str | None:
        try:
            status, body = get(port, "/readyz")
        except (OSError, http.client.HTTPException):
            return f"port {port} to answer"
        if missing := _to_be_its_own(port, pid):
            return missing
        return None if status == http.HTTPStatus.OK else waiting_for(body)

    return probe


def _to_be_its_own(port: int, pid: int) -> str | None:
    return None if ports.listens(pid, port) else f"port {port}, which {ports.holder(port)} holds"


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET at a port of this machine.

    Raises:
        OSError: nobody answers in 2 s.
        http.client.HTTPException: what answers does not speak HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def missing(body: bytes) -> tuple[str, ...]:
    """What a /readyz body says is waited for; nothing where it says nothing that can be read."""
    try:
        return tuple(str(item) for item in json.loads(body)["waiting_for"])
    except (ValueError, KeyError, TypeError):
        return ()


def waiting_for(body: bytes) -> str:
    """What a /readyz body says is missing, as one line."""
    return "; ".join(missing(body)) or "it says only that it is not ready"
