"""How to see that a part is ready."""

import http.client
import json
import socket

from rowstream.stack.part import Probe

_TIMEOUT = 2.0


def listens(port: int) -> Probe:
    """Ready when something on this machine takes connections at `port`."""

    def probe(_: int) -> str | None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT).close()
        except OSError:
            return f"port {port} to open"
        return None

    return probe


def answers_ready(port: int) -> Probe:
    """Ready when GET /readyz at `port` answers 200; until then, what that answer says it is waiting for."""

    def probe(_: int) -> str | None:
        try:
            status, body = get(port, "/readyz")
        except (OSError, http.client.HTTPException):
            return f"port {port} to answer"
        return None if status == http.HTTPStatus.OK else waiting_for(body)

    return probe


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


def waiting_for(body: bytes) -> str:
    """What a /readyz body says is missing, as one line."""
    try:
        missing = json.loads(body)["waiting_for"]
    except (ValueError, KeyError, TypeError):
        return "it says only that it is not ready"
    return "; ".join(str(item) for item in missing) or "it says only that it is not ready"
