"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana.make`; a test says when they are stale."""

import json
from pathlib import Path

from deploy.grafana.flow import FLOW
from deploy.grafana.servers import SERVERS
from deploy.grafana.uploads import ORGANIZATION, UPLOAD

FOLDER = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = (FLOW, SERVERS, ORGANIZATION, UPLOAD)


def files() -> dict[str, str]:
    """The text of each dashboard's file, by its name."""
    return {f"{one.uid}.json": json.dumps(one.as_json(), indent=1) + "\n" for one in DASHBOARDS}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
