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


def test_a_variable_is_named_by_its_place() -> None:
    assert variable_name(("kafka", "bootstrap_servers")) == "ROWSTREAM_KAFKA__BOOTSTRAP_SERVERS"
