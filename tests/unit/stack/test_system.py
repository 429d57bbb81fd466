from pathlib import Path

import pytest

from rowstream.stack import ports
from rowstream.stack.jobs import DATABASE_JOB
from rowstream.stack.part import Part
from rowstream.stack.services import service_environment, service_names, service_parts
from rowstream.stack.state_dir import StateDir
from rowstream.stack.system import Options, choose_ports, find_addresses, must_be_ready, storage_settings, with_secrets


def test_services_have_a_process_each_and_processors_as_many_as_asked() -> None:
    names = service_names(processors=3)
    assert list(names) == [
        "ingest_gateway",
        "splitter",
        "record_processor-1",
        "record_processor-2",
        "record_processor-3",
        "auditor",
    ]
    assert set(names.values()) == {"ingest_gateway", "splitter", "record_processor", "auditor"}


def test_what_the_user_sets_reaches_the_services_but_not_over_what_the_system_knows() -> None:
    environment = service_environment(
        {"ROWSTREAM_SPLITTER__SLOTS": "3", "ROWSTREAM_DATABASE__URL": "elsewhere", "POLARS_MAX_THREADS": "4"},
        broker="b:1",
        database="postgresql://here",
        storage={"BUCKET": "mine"},
        secrets_file=Path("/here/secrets.json"),
        embedded_broker=True,
    )
    assert environment["ROWSTREAM_ACCESS__SECRETS_FILE"] == "/here/secrets.json"
    assert environment["ROWSTREAM_SPLITTER__SLOTS"] == "3"
    assert environment["ROWSTREAM_DATABASE__URL"] == "postgresql://here"
    assert environment["ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS"] == "b:1"
    assert environment["ROWSTREAM_STORAGE__BUCKET"] == "mine"
    assert environment["POLARS_MAX_THREADS"] == "4"


def test_each_service_has_a_port_of_its_own_and_no_secret_in_its_command() -> None:
    names = service_names(1)
    numbers = {name: number for number, name in enumerate(names, 7000)}
    parts = service_parts(names, ports=numbers, environment={"ROWSTREAM_DATABASE__URL": "hidden"}, needs=("broker",))
    assert [part.environment["ROWSTREAM_HTTP__PORT"] for part in parts] == ["7000", "7001", "7002", "7003"]
    assert all(part.environment["ROWSTREAM_HTTP__HOST"] == "127.0.0.1" for part in parts)
    assert all(part.needs == ("broker",) for part in parts)
    assert "hidden" not in repr(parts)


def test_whoever_hands_in_goes_before_what_was_taken_in() -> None:
    names = service_names(2)
    parts = service_parts(names, ports=dict.fromkeys(names, 7000), environment={}, needs=())
    gateway, *behind = (part.niceness for part in parts)
    assert [gateway < other for other in behind] == [True] * 4


def test_a_real_store_keeps_the_settings_of_the_user() -> None:
    assert storage_settings("https://s3.example", 0) == {"ENDPOINT_URL": "https://s3.example"}
    assert storage_settings(None, 9000)["ENDPOINT_URL"] == "http://127.0.0.1:9000"


def test_services_wait_for_the_database_job_unless_it_was_done_before() -> None:
    parts = [Part(name=name, command=("true",), environment={}) for name in ("database", DATABASE_JOB, "broker")]
    assert must_be_ready(parts, prepared=False) == ("database", DATABASE_JOB, "broker")
    assert must_be_ready(parts, prepared=True) == ("database", "broker")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


def test_the_same_ports_are_chosen_next_time(state: StateDir) -> None:
    options = Options(state_dir=state.path, port=0)
    first = choose_ports(options, state)
    assert choose_ports(options, state) == first
    assert {"broker", "database", "storage", "record_processor-2"} <= set(first)


def test_the_port_that_was_asked_for_is_the_gateways(state: StateDir) -> None:
    port = ports.choose(["free"], {})["free"]
    assert choose_ports(Options(state_dir=state.path, port=port), state)["ingest_gateway"] == port


def test_addresses_list_the_metrics_of_every_process() -> None:
    names = service_names(2)
    numbers = {name: number for number, name in enumerate(names, 7000)}
    environment = service_environment(
        {"ROWSTREAM_ACCESS__SECRETS_FILE": "mine"},
        broker="b:1",
        database="d",
        storage=storage_settings(None, 9),
        secrets_file=Path("here"),
        embedded_broker=False,
    )
    assert environment["ROWSTREAM_ACCESS__SECRETS_FILE"] == "mine"
    addresses = find_addresses(environment, numbers, names)
    assert addresses.gateway == "http://127.0.0.1:7000"
    assert addresses.bucket == "rowstream"
    assert addresses.metrics["record_processor"] == ("http://127.0.0.1:7002/metrics", "http://127.0.0.1:7003/metrics")
    assert addresses.metrics["ingest_gateway"] == ("http://127.0.0.1:7000/metrics",)


def test_the_owner_is_named_while_their_password_is_kept(state: StateDir) -> None:
    addresses = find_addresses(
        {
            "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS": "",
            "ROWSTREAM_DATABASE__URL": "",
            "ROWSTREAM_STORAGE__ENDPOINT_URL": "",
        },
        {"ingest_gateway": 1},
        {},
    )
    without = with_secrets(addresses, state)
    assert (without.api_key, without.owner, without.owner_password) == ("", "", "")
    state.write("api_key", "rs_1")
    state.write("owner_password", "2")
    found = with_secrets(addresses, state)
    assert (found.api_key, found.owner, found.owner_password) == ("rs_1", "owner@localhost", "2")


def test_a_password_in_the_options_is_not_shown() -> None:
    assert "hidden" not in repr(Options(database="postgresql://me:hidden@db/n"))
