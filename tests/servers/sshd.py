"""OpenSSH's server for SFTP: the user of the tests comes in by key, and gets files and nothing else."""

import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.server import Server, free_port, listens, running
from tests.servers.tools import program

_NEEDED_FOR = "SFTP (Debian's packages openssh-server and openssh-client)"


@dataclass(kw_only=True)
class Sshd(Server):
    """The server, and what a client needs: the user's name, the user's key, and a file that knows the server's key."""

    user: str
    key: Path
    known_hosts: Path
    files: Path
    """The folder that a client is in at first; nothing keeps it from going elsewhere."""


@contextmanager
def sshd_server(folder: Path) -> Iterator[Sshd]:
    """A server with keys of its own."""
    port, user = free_port(), getpass.getuser()
    command = program("sshd", _NEEDED_FOR)
    files = folder / "files"
    files.mkdir(parents=True)
    host_key, key = _make_key(folder / "host_key"), _make_key(folder / "key")
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    config = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": str(host_key),
        "AuthorizedKeysFile": str(key.with_suffix(".pub")),
        "AuthenticationMethods": "publickey",
        "AllowUsers": user,
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",  # a folder for tests may lie below one that all may write to
        "UsePAM": "no",
        "PidFile": "none",
        "DisableForwarding": "yes",
        "Subsystem": "sftp internal-sftp",
        "ForceCommand": f"internal-sftp -d {files}",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # built in: where its unprivileged part is locked up
    server = Sshd(
        name="sshd",
        command=[command, "-D", "-e", "-f", str(folder / "sshd_config")],
        port=port,
        log=folder / "sshd.log",
        environment={"PATH": os.defpath},
        ready=lambda: listens(port),
        user=user,
        key=key,
        known_hosts=known_hosts,
        files=files,
    )
    with running(server):
        yield server


def _make_key(file: Path) -> Path:
    make = [program("ssh-keygen", _NEEDED_FOR), "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(file)]
    subprocess.run(make, check=True, timeout=60)
    return file
