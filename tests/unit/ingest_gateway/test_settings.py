import pytest

from ingest_gateway.settings import GatewaySettings, GatewaySlice
from rowstream.errors import Fatal


@pytest.mark.parametrize(
    ("given", "names"), [("", set()), ("a", {"a"}), ("a, b-c.d ,", {"a", "b-c.d"}), (" , ", set())]
)
def test_buckets_are_names_and_commas(given: str, names: set[str]) -> None:
    assert GatewaySlice(intake_buckets=given).allowed_buckets == names


def test_a_wrong_value_stops_the_start_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWSTREAM_GATEWAY__PRESIGN_SECONDS", "5")
    with pytest.raises(Fatal, match="ROWSTREAM_GATEWAY__PRESIGN_SECONDS"):
        GatewaySettings.load()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in GatewaySlice.model_fields.values())
