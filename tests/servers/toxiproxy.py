"""toxiproxy: a line between two parts that can be cut, slowed, or end within an answer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from tests.servers.server import Server, free_port, listens, running
from tests.servers.tools import TOXIPROXY, go_program


@dataclass(frozen=True)
class Line:
    """One line through the proxy: connect to `port` and reach `upstream`."""

    name: str
    port: int
    upstream: str
    api: str

    @property
    def address(self) -> str:
        """host:port to connect to."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections and take no new ones."""
        self._set(enabled=False)

    def mend(self) -> None:
        """Take connections again, without any toxic."""
        for toxic in httpx.get(f"{self.api}/proxies/{self.name}/toxics").raise_for_status().json():
            httpx.delete(f"{self.api}/proxies/{self.name}/toxics/{toxic['name']}").raise_for_status()
        self._set(enabled=True)

    def poison(
        self,
        kind: Literal["latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"],
        *,
        stream: Literal["upstream", "downstream"] = "downstream",
        **attributes: int,
    ) -> None:
        """Add a toxic, as toxiproxy's README names them: timeout(timeout=0) stalls, limit_data(bytes=n) cuts."""
        toxic = {"type": kind, "stream": stream, "attributes": attributes}
        httpx.post(f"{self.api}/proxies/{self.name}/toxics", json=toxic).raise_for_status()

    def _set(self, *, enabled: bool) -> None:
        httpx.post(f"{self.api}/proxies/{self.name}", json={"enabled": enabled}).raise_for_status()


@dataclass(kw_only=True)
class Toxiproxy(Server):
    """The proxy; it makes lines."""

    def line(self, name: str, upstream: str, *, port: int | None = None) -> Line:
        """A new line to `upstream` (host:port), at a free port unless one is given."""
        line = Line(name, port or free_port(), upstream, f"http://{self.address}")
        request = {"name": name, "listen": line.address, "upstream": upstream, "enabled": True}
        httpx.post(f"{line.api}/proxies", json=request).raise_for_status()
        return line


@contextmanager
def toxiproxy_server(folder: Path) -> Iterator[Toxiproxy]:
    """A proxy without lines."""
    program = go_program(TOXIPROXY, "server")
    port = free_port()
    server = Toxiproxy(
        name="toxiproxy",
        command=[str(program), "-host", "127.0.0.1", "-port", str(port)],
        port=port,
        log=folder / "toxiproxy.log",
        environment={"PATH": os.defpath, "LOG_LEVEL": "error"},
        ready=lambda: listens(port),
    )
    with running(server):
        yield server
