"""The dashboards' files are those that are declared, and what they ask about is measured."""

import json
import re
from typing import Any

import pytest

from deploy.grafana.make import DASHBOARDS, FOLDER, files
from deploy.grafana.panels import POSTGRES, PROMETHEUS
from deploy.prometheus.scrape import HERE, RULES
from docs.generate.pages import ROOT
from tests.integration.observability.queries import metrics_in, panels_of

PROVISIONED = (ROOT / "deploy/grafana/provisioning/datasources/rowstream.yml").read_text(encoding="utf-8")
# What Prometheus itself and its client library measure.
FURTHER = {"up", "ALERTS"}


def declared() -> set[str]:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)`", page, flags=re.MULTILINE))


def recorded() -> set[str]:
    return set(re.findall(r"record: (\S+)", (HERE / "rules.yml").read_text(encoding="utf-8")))


def test_the_files_are_what_is_declared() -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert stored == files(), "run python -m deploy.grafana.make"


def test_every_metric_that_is_asked_for_is_measured() -> None:
    asked = {name for panel in panels_of(PROMETHEUS) for query in panel.queries for name in metrics_in(query)}
    rules = "".join((HERE / name).read_text(encoding="utf-8") for name in RULES)
    asked |= set(re.findall(r"\b(?:rowstream|batch_upload|process)_[a-z_]+\b", rules)) - {"rowstream_dashboards"}
    known = declared() | recorded() | FURTHER
    unknown = {
        name
        for name in asked
        if name not in known and name.removesuffix("_bucket") not in known and not name.startswith("process_")
    }
    assert len(asked) > 30
    assert unknown == set()


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_every_panel_says_what_it_shows_and_has_its_place(dashboard: Any) -> None:
    made = dashboard.as_json()
    panels = made["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["targets"]


def test_data_sources_are_the_provisioned_ones() -> None:
    used = {json.dumps(target["datasource"]) for one in files().values() for target in targets(json.loads(one))}
    assert used == {json.dumps(PROMETHEUS), json.dumps(POSTGRES)}
    for source in (PROMETHEUS, POSTGRES):
        assert f"uid: {source['uid']}\n" in PROVISIONED
        assert f"type: {source['type']}\n" in PROVISIONED


def targets(dashboard: Any) -> list[Any]:
    return [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
