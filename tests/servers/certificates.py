"""Certificates for servers of the tests, made with openssl: an authority, and a server's that it vouches for."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.tools import program


@dataclass(frozen=True)
class Certificates:
    """Files (PEM): whom to trust, and what a server at 127.0.0.1 shows."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """An authority of its own in `folder`, and a certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.pem")
    _openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr")
    _openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    )
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")


def _openssl(folder: Path, arguments: str) -> None:
    command = [program("openssl", "a server with TLS"), *arguments.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AssertionError(f"openssl {arguments}: {done.stderr}")
