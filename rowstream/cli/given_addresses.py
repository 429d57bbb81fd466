"""Whether addresses that were given can be any: said at once, as a server that does not answer is waited for."""

import re
from urllib.parse import urlsplit

from rowstream.cli.options import WrongUsage
from rowstream.stack.addresses import without_password

_HOST_AND_PORT = re.compile(r"\s*[^\s,]+:(\d{1,5})\s*")
_HIGHEST_PORT = 65_535
_WEB = ("http", "https")
_POSTGRES = ("postgresql", "postgres")


def check_servers(*, broker: str | None, database: str | None, storage: str | None) -> None:
    """Check the addresses of real servers; None stands for the embedded one.

    Raises:
        WrongUsage: one is no address; says which, and what one looks like.
    """
    if broker and not all(_is_host_and_port(one) for one in broker.split(",")):
        raise WrongUsage(f"--broker is {broker!r}, which is not host:port[,host:port] such as kafka.example:9092")
    if database:  # by a socket of this machine it needs no host
        _check("--database", database, _POSTGRES, "postgresql://me@db.example:5432/records", needs_host=False)
    if storage:
        check_web_url("--storage", storage, "https://s3.example")


def check_web_url(name: str, url: str, example: str) -> None:
    """Check a URL of the web that was given as `name`.

    Raises:
        WrongUsage: it is none; says why, and what one looks like.
    """
    _check(name, url, _WEB, example, needs_host=True)


def _check(name: str, url: str, schemes: tuple[str, ...], example: str, *, needs_host: bool) -> None:
    shown = "what cannot be read"  # a password may be in it
    try:
        parts, shown = urlsplit(url), repr(without_password(url))
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        fault = "" if parts.scheme in schemes else f"it has to begin with {begins}"
        has_host = parts.port != 0 and (parts.hostname or not needs_host)
        fault = fault or ("" if has_host else "it names no host")
    except ValueError as error:
        fault = str(error)
    if fault:
        raise WrongUsage(f"{name} is {shown}, which is no URL such as {example}: {fault}")


def _is_host_and_port(text: str) -> bool:
    found = _HOST_AND_PORT.fullmatch(text)
    return found is not None and 0 < int(found[1]) <= _HIGHEST_PORT
