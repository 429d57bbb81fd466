"""What a dashboard is made of, said briefly, and the JSON that Grafana reads made from it.

A `Panel` asks one data source one or more questions. Panels stand in rows of 24 columns, in the order declared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

PROMETHEUS = {"type": "prometheus", "uid": "rowstream-prometheus"}
POSTGRES = {"type": "grafana-postgresql-datasource", "uid": "rowstream-postgres"}
_COLUMNS = 24
_SCHEMA_VERSION = 39

Kind = Literal["timeseries", "stat", "table", "bargauge"]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: what is seen, in few words.
        says: what it means and when to worry; Grafana shows it at the panel's corner.
        queries: PromQL by legend (`{{label}}` is put in), or one SQL text under the legend "".
        source: whom to ask.
        kind: how it is drawn.
        unit: Grafana's name of the unit, such as `s`, `bytes`, `percentunit`, `short`.
        width: of the row's 24 columns.
        height: in Grafana's steps of 30 pixels.
        steps: values from which the colour is another, the first being for all below: {"orange": 0.8}.
        stacked: whether series stand on each other, so that their sum is seen.
        empty: what to show where there is nothing; only for what is exceptional.
    """

    title: str
    says: str
    queries: Mapping[str, str]
    source: Mapping[str, str] = field(default_factory=lambda: PROMETHEUS)
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    steps: Mapping[str, float] | None = None
    stacked: bool = False
    empty: str | None = None


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard, its values asked from Postgres as __text and __value."""

    name: str
    label: str
    sql: str


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard; its `uid` is also the name of its file."""

    uid: str
    title: str
    says: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    since: str = "now-1h"
    refresh: str = "10s"

    def as_json(self) -> dict[str, Any]:
        """What Grafana reads."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": ["rowstream"],
            "schemaVersion": _SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "time": {"from": self.since, "to": "now"},
            "links": [{"type": "dashboards", "tags": ["rowstream"], "title": "rowstream", "asDropdown": True}],
            "templating": {"list": [_variable(one) for one in self.variables]},
            "panels": list(_placed(self.rows)),
        }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    top = number = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left = line = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, line = top + line, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, line = left + panel.width, max(line, panel.height)
        top += line


def _panel(panel: Panel) -> dict[str, Any]:
    source = panel.source
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": _thresholds(panel.steps)}
    if panel.empty is not None:
        defaults["noValue"] = panel.empty
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "fillOpacity": 25 if panel.stacked else 10,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": dict(source),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            _target(source, chr(ord("A") + place), legend, query, panel.kind)
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[Kind, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "area", "textMode": "auto"},
    "table": {"showHeader": True, "cellHeight": "sm"},
    "bargauge": {
        "reduceOptions": {**_REDUCED, "values": True, "limit": 25},
        "orientation": "horizontal",
        "displayMode": "basic",
    },
}


def _target(source: Mapping[str, str], ref: str, legend: str, query: str, kind: Kind) -> dict[str, Any]:
    common = {"refId": ref, "datasource": dict(source)}
    if source == PROMETHEUS:
        return {**common, "expr": query, "legendFormat": legend, "instant": kind == "bargauge"}
    return {
        **common,
        "rawQuery": True,
        "rawSql": query,
        "editorMode": "code",
        "format": "time_series" if kind == "timeseries" else "table",
    }


def _thresholds(steps: Mapping[str, float] | None) -> dict[str, Any]:
    base: list[dict[str, Any]] = [{"color": "green", "value": None}]
    return {"mode": "absolute", "steps": base + [{"color": name, "value": at} for name, at in (steps or {}).items()]}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": dict(POSTGRES),
        "query": variable.sql,
        "definition": variable.sql,
        "refresh": 2,
        "includeAll": False,
        "multi": False,
    }
