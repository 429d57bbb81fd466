"""A real Prometheus watches a real run: every panel shows something, and every alert is quiet with all it looks at."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from deploy.grafana.panels import POSTGRES, PROMETHEUS
from deploy.prometheus.scrape import configuration
from docs.generate.pages import ROOT
from rowstream.database.security import DASHBOARDS
from tests.bench.workload import hand_in, sample, small_file, wait_for
from tests.integration.observability.queries import Asked, metrics_in, panels_of, promql, variables
from tests.integration.observability.queries import sql as sql_of
from tests.servers import until
from tests.servers.prometheus import Prometheus, prometheus_server
from tests.servers.tools import program
from tests.whole_system import System, running

PAGES = ROOT / "docs" / "how-to" / "alerts"
OF_PARTNERS = {"rowstream_sftp_away"}  # there only where a sources file names a partner's server
PATIENCE = 120.0
ROWS = 5_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    program("prometheus", "watching (apt-get install prometheus)")
    with running(tmp_path_factory.mktemp("watched") / "state") as system:
        yield system


@pytest.fixture(scope="module")
def prometheus(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    watched = configuration(system.addresses["metrics"], seconds=1.0)
    with prometheus_server(tmp_path_factory.mktemp("prometheus"), watched, pages=PAGES) as client:
        until(lambda: len(client.series("up == 1")) == 5, seconds=PATIENCE, what="a look at every process")
        yield client


@pytest.fixture(scope="module")
def upload_id(system: System, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An upload with faults, ended, after a small one; Prometheus saw how things stood before, between and after."""
    file, truth = sample(tmp_path_factory.mktemp("files"), ROWS)
    with system.api as api:
        wait_for(api, hand_in(api, small_file(1)), every=0.1)
        ended = "sum(batch_upload_processing_duration_seconds_count)"
        until(lambda: has_value(prometheus, f"{ended} == 1"), seconds=PATIENCE, what="the first end in the metrics")
        upload_id = hand_in(api, file)
        upload = wait_for(api, upload_id, every=0.2)
        assert upload["status"] == "completed"
        assert upload["failed_records"] == len(truth.read_text().splitlines()) > 0
        until(lambda: has_value(prometheus, f"{ended} == 2"), seconds=PATIENCE, what="the second end in the metrics")
    return upload_id


def has_value(prometheus: Prometheus, query: str) -> bool:
    return bool(prometheus.series(query))


@pytest.mark.parametrize("panel", panels_of(PROMETHEUS), ids=lambda panel: panel.name)
def test_a_panel_that_asks_prometheus_shows_something(panel: Asked, prometheus: Prometheus, upload_id: str) -> None:
    assert upload_id
    for query in map(promql, panel.queries):
        if panel.may_be_empty:
            prometheus.series(query)
        else:
            until(lambda query=query: has_value(prometheus, query), seconds=PATIENCE, what=query)  # type: ignore[misc]


def test_every_recorded_series_is_there(prometheus: Prometheus, upload_id: str) -> None:
    assert upload_id
    names = [rule["name"] for rule in prometheus.rules() if rule["type"] == "recording"]
    assert len(names) > 10
    for name in names:
        until(lambda name=name: has_value(prometheus, name), seconds=PATIENCE, what=name)  # type: ignore[misc]


def test_no_alert_fires_and_all_that_alerts_look_at_is_there(prometheus: Prometheus, upload_id: str) -> None:
    assert upload_id

    def troubled() -> dict[str, str]:
        """Rules that cannot be worked out, and alerts that are not quiet; how full this disk is, is not our matter."""
        return {
            rule["name"]: rule.get("lastError") or rule["state"]
            for rule in prometheus.rules()
            if rule["health"] != "ok"
            or (rule["type"] == "alerting" and rule["state"] != "inactive" and not rule["name"].startswith("Disk"))
        }

    until(lambda: not troubled(), seconds=PATIENCE, what="quiet")
    alerts = [rule for rule in prometheus.rules() if rule["type"] == "alerting"]
    assert len(alerts) > 10
    for name in set().union(*(metrics_in(alert["query"]) for alert in alerts)) - OF_PARTNERS:
        assert has_value(prometheus, name), name


def test_prometheus_serves_the_pages_that_its_alerts_lead_to(prometheus: Prometheus) -> None:
    for alert in (rule for rule in prometheus.rules() if rule["type"] == "alerting"):
        (path,) = re.findall(r"^\{\{ \$externalURL \}\}(/user/.*)$", alert["annotations"]["runbook_url"])
        assert alert["name"] in prometheus.page(path)


@pytest.fixture
def dashboards(system: System) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the rights of dashboards."""
    with psycopg.connect(system.addresses["database"]) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(DASHBOARDS)))
        connection.execute("SET default_transaction_read_only = on")
        connection.commit()
        yield connection


@pytest.mark.parametrize("panel", panels_of(POSTGRES), ids=lambda panel: panel.name)
def test_a_panel_that_asks_postgres_shows_something(
    panel: Asked, dashboards: psycopg.Connection[Any], upload_id: str
) -> None:
    choice = {"organization": organization(dashboards), "upload": upload_id}
    for query in panel.queries:
        rows = dashboards.execute(sql_of(query, **choice).encode()).fetchall()
        assert rows or panel.may_be_empty


def test_organizations_and_uploads_can_be_chosen(dashboards: psycopg.Connection[Any], upload_id: str) -> None:
    chosen = organization(dashboards)
    assert UUID(chosen)
    uploads = dashboards.execute(sql_of(variables()["upload"], organization=chosen).encode()).fetchall()
    assert upload_id in [value for _, value in uploads]


def organization(connection: psycopg.Connection[Any]) -> str:
    """The first organization that the dashboards offer."""
    row = connection.execute(sql_of(variables()["organization"]).encode()).fetchone()
    assert row
    return str(row[1])


def test_a_metric_that_is_not_there_shows_nothing(prometheus: Prometheus) -> None:
    assert not has_value(prometheus, "rowstream_no_such_metric")
