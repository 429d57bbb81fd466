"""The container files name only what exists; no engine is needed to see that."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from docs.generate.pages import ROOT
from rowstream.cli.main import app
from rowstream.runtime.health import Health
from rowstream.runtime.secrets import SETTING
from rowstream.runtime.service import probe
from rowstream.stack.bootstrap import JOBS

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = {"ingest_gateway", "splitter", "record_processor", "auditor"}
JOBS_DONE_FIRST = {"migrate", "topics", "bucket"}
READS_YAML = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


def parsed(text: str) -> Any:
    """YAML as Python has it. Debian's python3-yaml reads it: the project itself needs no YAML."""
    command = ["/usr/bin/python3", "-c", READS_YAML]
    done = subprocess.run(command, input=text, check=False, capture_output=True, text=True, timeout=60)
    if "No module named 'yaml'" in done.stderr:
        missing = "nothing here reads YAML: apt-get install python3-yaml"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = parsed(COMPOSE)["services"]
    return found


def test_every_setting_is_a_real_one() -> None:
    settings = set(re.findall(r"`(ROWSTREAM_\w+)`", (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")))
    named = set(re.findall(r"\bROWSTREAM_[A-Z_]+", DOCKERFILE + COMPOSE))
    assert len(named) > 10
    assert named <= settings


def test_every_command_is_one(services: dict[str, Any]) -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    started = set()
    for name, service in services.items():
        if service["image"].startswith("rowstream:"):
            match service["command"]:
                case ["python", "-P", "-m", "rowstream.stack.bootstrap", job, _]:
                    assert job in JOBS
                case ["python", "-P", "-m", module]:
                    assert importlib.util.find_spec(f"{module}.__main__"), name
                    started.add(module)
                case ["rowstream", "secrets", "make", file]:
                    assert file == services["ingest_gateway"]["environment"][SETTING]
                case ["rowstream", verb, *options]:
                    known = {option for parameter in verbs[verb].params for option in parameter.opts}
                    assert set(options) <= known
                case ["--help"]:
                    assert service["entrypoint"] == ["rowstream"]
                case other:
                    raise AssertionError(f"{name}: {other}")
    assert started == SERVICES


def test_services_start_after_the_jobs_and_the_jobs_after_the_servers(services: dict[str, Any]) -> None:
    for name in SERVICES:
        jobs = JOBS_DONE_FIRST | ({"secrets"} if name == "ingest_gateway" else set())
        assert services[name]["depends_on"] == {job: {"condition": "service_completed_successfully"} for job in jobs}
    for name in JOBS_DONE_FIRST:
        ((server, condition),) = services[name]["depends_on"].items()
        assert condition == {"condition": "service_healthy"}
        assert services[server]["healthcheck"]["test"][0] == "CMD"
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()


def test_the_secrets_file_is_written_by_its_job_and_read_by_the_gateway_alone(services: dict[str, Any]) -> None:
    folder = str(Path(services["ingest_gateway"]["environment"][SETTING]).parent)
    mounted = {name: one["volumes"] for name, one in services.items() if "secrets:" in str(one.get("volumes"))}
    assert mounted == {"secrets": [f"secrets:{folder}"], "ingest_gateway": [f"secrets:{folder}:ro"]}
    assert f"--owner rowstream --group rowstream {folder}\n" in DOCKERFILE, "a new volume is owned as it is there"


def test_images_are_pinned_by_version(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()} | set(
        re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    )
    assert all(re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)*$", image) for image in images), images


def test_ports_are_bound_to_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) >= 5
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_secrets_come_from_the_environment(services: dict[str, Any]) -> None:
    secret = re.compile(r"PASSWORD$|SECRET(?!S_FILE$)|_ACCESS_KEY$|API_KEY$")
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{[A-Z_]+:-[a-z-]*\}", value), name
    both = [
        set(re.findall(r"POSTGRES_PASSWORD:-([a-z-]+)", COMPOSE)),
        set(re.findall(r"DASHBOARDS_PASSWORD:-([a-z-]+)", COMPOSE)),
    ]
    assert all(len(one) == 1 for one in both)


def test_containers_of_ours_may_do_little(services: dict[str, Any]) -> None:
    for name in SERVICES | JOBS_DONE_FIRST | {"secrets"}:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_what_is_mounted_and_copied_is_there(services: dict[str, Any]) -> None:
    volumes = parsed(COMPOSE)["volumes"]
    for service in services.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in volumes, mount
    copied = [
        path for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()
    ]
    assert {*SERVICES, "rowstream", "schemas", "record_types", "requirements.txt", "pyproject.toml"} <= set(copied)
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in sent, f"{path} is not sent to the build: .dockerignore"


def test_the_image_has_every_package_of_the_wheel() -> None:
    (packages,) = re.findall(
        r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    for package in json.loads(packages):
        assert f"COPY {package} {package}\n" in DOCKERFILE


def test_the_health_check_asks_what_services_answer() -> None:
    (port, path) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", DOCKERFILE)[0]
    assert f"ROWSTREAM_HTTP__PORT={port}" in DOCKERFILE
    answer = probe(path, Health())
    assert answer
    assert answer[0] == 200


def test_prometheus_scrapes_each_service_where_it_answers(services: dict[str, Any]) -> None:
    scraped = parsed((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    asked = {job["job_name"]: job["dns_sd_configs"][0] for job in scraped}
    assert asked.keys() == SERVICES
    for name, look in asked.items():
        assert look["names"] == [name]
        assert name in services
        assert f"EXPOSE {look['port']}\n" in DOCKERFILE


def test_grafana_gets_every_variable_that_its_data_sources_name(services: dict[str, Any]) -> None:
    sources = (ROOT / "deploy/grafana/provisioning/datasources/rowstream.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", sources)) <= services["grafana"]["environment"].keys()
    assert parsed(sources)["datasources"]
    (provider,) = parsed((ROOT / "deploy/grafana/provisioning/dashboards/rowstream.yml").read_text(encoding="utf-8"))[
        "providers"
    ]
    mounts = {mount.split(":")[1] for mount in services["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounts
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / "deploy/grafana/dashboards" / home.name).exists()


def test_the_login_of_the_dashboards_reads_uploads_and_nothing_else(database_url: str) -> None:
    script = (ROOT / "deploy/postgres/logins.sh").read_text(encoding="utf-8")
    (statements,) = re.findall(r"<<'SQL'\n(.*)^SQL$", script, re.MULTILINE | re.DOTALL)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(statements.replace(":'password'", "'secret'").encode())
        try:
            with psycopg.connect(database_url, user="dashboards", autocommit=True) as reader:
                assert reader.execute("SELECT count(*) FROM batch_uploads").fetchone() == (0,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute("SELECT count(*) FROM batch_upload_errors")
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    reader.execute("CREATE TABLE mine ()")
        finally:
            owner.execute("DROP ROLE dashboards")
