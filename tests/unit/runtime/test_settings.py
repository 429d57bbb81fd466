"""Settings come from the environment; a wrong one stops the start with its name, and secrets are never shown."""

import pytest

from ingest_gateway.settings import GatewaySettings
from record_processor.settings import ProcessorSettings
from rowstream.errors import Fatal
from rowstream.runtime.settings import ServiceSettings, variable_name
from splitter.settings import SplitterSettings

SECRET = "hunter2-never-shown"  # noqa: S105 - what must not be found below


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("ROWSTREAM_SPLITTER__SLOTS", "5")
    monkeypatch.setenv("rowstream_http__port", "8123")
    settings = SplitterSettings.load()
    assert settings.kafka.bootstrap_servers == "broker:9092"
    assert settings.splitter.slots == 5
    assert settings.http.port == 8123


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [
        ("ROWSTREAM_KAFKA__SESSION_TIMEOUT_MS", "soon", ServiceSettings),
        ("ROWSTREAM_KAFKA__GROUP_PROTOCOL", "eager", ServiceSettings),
        ("ROWSTREAM_HTTP__PORT", "70000", ServiceSettings),
        ("ROWSTREAM_LOG__LEVEL", "loud", ServiceSettings),
        ("ROWSTREAM_KAFKA__SECURITY_PROTOCOL", "tls", ServiceSettings),
        ("ROWSTREAM_KAFKA__SASL_MECHANISM", "GSSAPI", ServiceSettings),
        ("ROWSTREAM_DATABASE__POOL_SIZE", "0", ServiceSettings),
        ("ROWSTREAM_SPLITTER__SLOTS", "-1", SplitterSettings),
        ("ROWSTREAM_SPLITTER__LEASE_SECONDS", "nan?", SplitterSettings),
        ("ROWSTREAM_PROCESSOR__BATCH_CHUNKS", "many", ProcessorSettings),
        ("ROWSTREAM_KAFKA", "broker:9092", ServiceSettings),
    ],
)
def test_a_wrong_value_stops_the_start_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, kind: type[ServiceSettings]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Fatal, match=variable if "__" in variable else "kafka"):
        kind.load()


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWSTREAM_HTTP__PORT", "x")
    monkeypatch.setenv("ROWSTREAM_LOG__LEVEL", "x")
    with pytest.raises(Fatal, match=r"ROWSTREAM_HTTP__PORT.*ROWSTREAM_LOG__LEVEL"):
        ServiceSettings.load()


@pytest.mark.parametrize("kind", [ServiceSettings, SplitterSettings, ProcessorSettings, GatewaySettings])
def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, kind: type[ServiceSettings]) -> None:
    monkeypatch.setenv("ROWSTREAM_DATABASE__URL", f"postgresql://u:{SECRET}@h/d")
    monkeypatch.setenv("ROWSTREAM_STORAGE__SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("ROWSTREAM_KAFKA__PASSWORD", SECRET)
    settings = kind.load()
    assert settings.database.url.get_secret_value().count(SECRET) == 1
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown


def test_nor_when_one_of_them_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWSTREAM_DATABASE", f'{{"url": ["{SECRET}"]}}')
    monkeypatch.setenv("ROWSTREAM_STORAGE__SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("ROWSTREAM_HTTP__PORT", SECRET)
    with pytest.raises(Fatal) as caught:
        ServiceSettings.load()
    assert "ROWSTREAM_DATABASE__URL" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # a traceback would show pydantic's error, with its input


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"SECURITY_PROTOCOL": "sasl_ssl"}, "sasl_ssl needs username and password"),
        ({"SECURITY_PROTOCOL": "sasl_plaintext", "USERNAME": "me"}, "sasl_plaintext needs username and password"),
        ({"SECURITY_PROTOCOL": "sasl_ssl", "PASSWORD": SECRET}, "sasl_ssl needs username and password"),
        ({"CERTIFICATE_FILE": "/me.pem"}, "certificate_file and key_file go together"),
    ],
)
def test_credentials_that_are_not_whole_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ROWSTREAM_KAFKA__{name}", value)
    with pytest.raises(Fatal, match=f"ROWSTREAM_KAFKA: .*{told}") as caught:
        ServiceSettings.load()
    assert SECRET not in str(caught.value)


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE__ACCESS_KEY_ID", "STORAGE__SECRET_ACCESS_KEY", "KAFKA__PASSWORD", "HTTP__PORT"):
        monkeypatch.setenv(f"ROWSTREAM_{name}", "")
    settings = ServiceSettings.load()
    assert settings.storage.access_key_id is None
    assert settings.storage.secret_access_key is None
    assert settings.kafka.password is None
    assert settings.http.port == 0


def test_a_variable_is_named_by_its_place() -> None:
    assert variable_name(("kafka", "bootstrap_servers")) == "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS"
