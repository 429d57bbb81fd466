"""Finds the running system and talks to its API."""

import http
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rowstream.cli.given_addresses import check_web_url
from rowstream.errors import Fatal, RowstreamError
from rowstream.stack import ports
from rowstream.stack.addresses import Addresses
from rowstream.stack.state_dir import StateDir

if TYPE_CHECKING:
    import httpx

_TIMEOUT = 30.0
_NOT_LET_IN = frozenset({http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN})


class NoSystem(Fatal):
    """No running system was found, or it does not answer."""


class ApiError(RowstreamError):
    """The API said no; `status` is the HTTP status and `problem` the whole answer (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(explain(status, problem))
        self.status = status
        self.problem = problem


class NotLetIn(ApiError):
    """The API does not know the key, or the key may not do this: another one is needed."""


@dataclass(frozen=True)
class Target:
    """The API to talk to, and the key to show it."""

    url: str
    api_key: str = field(repr=False)


def find(state_dir: Path, environment: Mapping[str, str] = os.environ) -> Target:
    """The API named by ROWSTREAM_URL and ROWSTREAM_API_KEY, otherwise that of the system on this state folder.

    The key of the system on the state folder is for that system alone: no other URL and no other program gets it.

    Raises:
        NoSystem: there is neither; says how to start or name one.
        WrongUsage: ROWSTREAM_URL is no URL.
    """
    url, key = environment.get("ROWSTREAM_URL", "").rstrip("/"), environment.get("ROWSTREAM_API_KEY")
    state = StateDir(state_dir)
    system = Addresses.saved(state)
    if url:
        check_web_url("ROWSTREAM_URL", url, "https://rowstream.example")
        if key:
            return Target(url, key)
        if system is None or url != system.gateway:
            raise NoSystem(
                f"ROWSTREAM_URL is set, to {url}, and ROWSTREAM_API_KEY is not: set it to a key of that system, or "
                "unset ROWSTREAM_URL to talk to the one on the state folder"
            )
    if system is None:
        raise NoSystem(
            f"no system runs on {state_dir}: start one with `rowstream up`, name its folder with --state-dir, "
            "or set ROWSTREAM_URL and ROWSTREAM_API_KEY"
        )
    _check_no_stranger(system.gateway, state)
    return Target(system.gateway, key or system.api_key)


def _check_no_stranger(gateway: str, state: StateDir) -> None:
    """Raises NoSystem if a program that the system's `up` did not start holds the gateway's port: it gets no key."""
    where = urlsplit(gateway)
    if where.hostname != "127.0.0.1" or where.port is None:
        return
    if stranger := ports.stranger(where.port, state.holder()):
        raise NoSystem(
            f"port {where.port}, where the API of the system on {state.path} should answer, is held by {stranger}, "
            "which gets no key: stop it, or run `rowstream up` with another --port"
        )


@contextmanager
def api(target: Target) -> Iterator["httpx.Client"]:
    """A client of the API: paths are relative to its base, the key is sent along, answers of 400 and more are raised.

    Raises:
        NoSystem: nothing answers there.
        NotLetIn: the API does not take the key.
        ApiError: the API said no to something else.
    """
    import httpx  # noqa: PLC0415 - a fifth of a second that only the commands that need it pay

    def refuse(response: httpx.Response) -> None:
        if response.is_error:
            response.read()
            kind = NotLetIn if response.status_code in _NOT_LET_IN else ApiError
            raise kind(response.status_code, _problem(response))

    client = httpx.Client(
        base_url=target.url,
        headers={"Authorization": f"Bearer {target.api_key}"},
        timeout=_TIMEOUT,
        event_hooks={"response": [refuse]},
    )
    try:
        with client:
            yield client
    except httpx.TransportError as error:
        raise NoSystem(
            f"nothing answers at {target.url} ({error}): start the system with `rowstream up`, or see what is wrong "
            "with `rowstream doctor`"
        ) from error


def explain(status: int, problem: Mapping[str, Any]) -> str:
    """A problem (RFC 9457) in one line: what went wrong, and which fields if it says so."""
    text = str(problem.get("detail") or problem.get("title") or "the API refused without saying why")
    faults = problem.get("errors")
    if isinstance(faults, list) and faults:
        text += ": " + "; ".join(_fault(fault) for fault in faults)
    return f"{text} (HTTP {status})"


def _fault(fault: object) -> str:
    if not isinstance(fault, Mapping):
        return str(fault)
    place = fault.get("loc") or fault.get("field") or fault.get("pointer")
    where = ".".join(map(str, place)) if isinstance(place, list | tuple) else place
    said = fault.get("msg") or fault.get("message") or fault.get("detail") or "is wrong"
    return f"{where}: {said}" if where else str(said)


def _problem(response: "httpx.Response") -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {"title": response.reason_phrase}
    return body if isinstance(body, dict) else {"title": response.reason_phrase}
