"""Prometheus, from Debian's package: it scrapes what it is told to and works out rules; and the API that it answers."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers.server import Server, free_port, running
from tests.servers.tools import program


class Prometheus:
    """The HTTP API of a Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def close(self) -> None:
        """Close what is kept open."""
        self._client.close()

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def series(self, query: str) -> list[Any]:
        """What a query gives now."""
        answer = self._client.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as it stands."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def page(self, path: str) -> str:
        """A page that it serves."""
        return self._client.get(path).raise_for_status().text


@contextmanager
def prometheus_server(
    folder: Path, configuration: Mapping[str, Any], *, pages: Path | None = None
) -> Iterator[Prometheus]:
    """A running Prometheus with this configuration, which serves the files of `pages`; its log is in `folder`."""
    port, file = free_port(), folder / "prometheus.yml"
    file.write_text(json.dumps(configuration))
    command = [
        program("prometheus", "watching (apt-get install prometheus)"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *([f"--web.user-assets={pages}"] if pages else []),
    ]
    with closing(Prometheus(port)) as client:
        server = Server(
            name="prometheus",
            command=command,
            port=port,
            log=folder / "prometheus.log",
            environment={"PATH": os.environ["PATH"]},
            ready=client.ready,
        )
        with running(server):
            yield client
