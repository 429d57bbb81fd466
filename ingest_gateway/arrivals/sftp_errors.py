"""What can go wrong with a partner's SFTP server, named by whom it concerns: the whole server, or one file."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from ingest_gateway.arrivals.sftp_plan import RemoteFile
from rowstream.errors import Poison, Retryable
from rowstream.runtime.sources import SftpSource


class PartnerAway(Retryable):
    """Nothing can be had from the partner's server now; `why` is one of a few words that a metric can count.

    host_key: its key is not the known one. login: it refuses ours. folder: it does not list the folder. settings: a
    file that the source names cannot be used. unreachable: it does not answer, or no more.
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class FileChanged(Poison):
    """The file is not as it was listed (any more): it is being written to, was replaced or taken away."""


class FileRefused(Poison):
    """The server does not let this one file be read, or put aside; says why."""


@contextmanager
def named(source: SftpSource, why: str, file: RemoteFile | None = None) -> Iterator[None]:
    """Turn what asyncssh raises into our errors: of this one `file` if one is meant, else of the server."""
    try:
        yield
    except _CUT as error:
        raise PartnerAway("unreachable", f"the line to {where(source)} was cut: {_short(error.reason)}") from error
    except asyncssh.SFTPError as error:
        raise (_of_file(source, file, error) if file else _of_folder(source, why, error)) from error
    except (asyncssh.Error, OSError) as error:
        raise _of_server(source, error) from error


_CUT = (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost, asyncssh.SFTPBadMessage)


def _of_file(source: SftpSource, file: RemoteFile, error: asyncssh.SFTPError) -> Poison:
    if isinstance(error, asyncssh.SFTPNoSuchFile):
        return FileChanged(f"{file.path} is not there any more")
    return FileRefused(f"{where(source)} refuses it: {_short(error.reason)}")


def _of_folder(source: SftpSource, why: str, error: asyncssh.SFTPError) -> PartnerAway:
    if isinstance(error, asyncssh.SFTPNoSuchFile):
        return PartnerAway(why, f"{where(source)} has no folder {source.folder}")
    return PartnerAway(why, f"{where(source)} refuses the folder {source.folder}: {_short(error.reason)}")


def _of_server(source: SftpSource, error: asyncssh.Error | OSError) -> PartnerAway:
    place = where(source)
    no_key_in_common = isinstance(error, asyncssh.KeyExchangeFailed) and "host key" in error.reason
    if isinstance(error, asyncssh.HostKeyNotVerifiable) or no_key_in_common:
        return PartnerAway("host_key", _host_key(source))
    if isinstance(error, asyncssh.PermissionDenied):
        return PartnerAway(
            "login", f"{place} refuses the key of {source.private_key_file}; have the partner add its public half"
        )
    if isinstance(error, TimeoutError):
        return PartnerAway("unreachable", f"{place} does not answer in time")
    if isinstance(error, OSError):
        return PartnerAway("unreachable", f"{place} cannot be reached: {error.strerror or error}")
    return PartnerAway("unreachable", f"{place} ended the talk: {_short(str(error))}")


def where(source: SftpSource) -> str:
    """The server as a person knows it."""
    return f"{source.username}@{source.host}:{source.port}"


def _host_key(source: SftpSource) -> str:
    place = where(source)
    known = asyncssh.read_known_hosts(str(source.known_hosts_file)).match(source.host, "", source.port)
    if any(known):
        return (
            f"the key of {place} is not the one in {source.known_hosts_file}: it was changed, or somebody is in"
            " between. Nothing was sent. Ask the partner for the new key's fingerprint before you enter it there"
        )
    return (
        f"the key of {place} is not in {source.known_hosts_file}. Nothing was sent. Compare what `ssh-keyscan -p"
        f" {source.port} {source.host}` shows with what the partner says, and add it there"
    )


def _short(text: str) -> str:
    """What a server says, in a length and in characters fit for a log."""
    return "".join(char for char in text if char.isprintable())[:200]
