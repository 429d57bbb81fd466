"""The gateway's descriptions of itself are what their standards say: OpenAPI 3.1 and AsyncAPI 3.0."""

from collections.abc import Iterator
from typing import Any

import fastavro
import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ingest_gateway.api.asyncapi import asyncapi
from rowstream.kafka.topics import TOPICS
from rowstream.messages.codec import contracts
from rowstream.runtime.settings import StorageSettings
from tests import gateways
from tests.contract.asyncapi_form import faults

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A gateway that nothing stands behind: it describes itself all the same."""
    storage = StorageSettings.model_validate({"access_key_id": "a", "secret_access_key": "b"})
    settings = gateways.gateway_settings("postgresql://nobody@127.0.0.1:1/none", storage)
    with gateways.serving(settings) as address:
        yield address


@pytest.fixture(scope="module")
def openapi(address: str) -> dict[str, Any]:
    answer = httpx.get(f"{address}/openapi.json", timeout=60)
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def test_openapi_is_3_1_and_valid(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(openapi).iter_errors()) == []


def test_a_description_that_is_wrong_is_found_out(openapi: dict[str, Any]) -> None:
    assert list(OpenAPIV31SpecValidator({**openapi, "info": {"title": "no version"}}).iter_errors())


def test_every_operation_says_that_it_may_be_asked_too_often(openapi: dict[str, Any]) -> None:
    operations = [one for methods in openapi["paths"].values() for name, one in methods.items() if name in METHODS]
    assert operations
    for operation in operations:
        answers = operation["responses"]
        assert "429" in answers, operation["operationId"]
        assert {"408", "413"} <= answers.keys() or "requestBody" not in operation, operation["operationId"]


def test_operation_ids_are_one_each(openapi: dict[str, Any]) -> None:
    ids = [one["operationId"] for methods in openapi["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


def test_asyncapi_is_served_and_valid(address: str) -> None:
    answer = httpx.get(f"{address}/asyncapi.json", timeout=60)
    assert answer.status_code == 200
    described = answer.json()
    assert described == asyncapi()
    assert faults(described) == []


@pytest.mark.parametrize("missing", ["info", "asyncapi", "channels", "components"])
def test_an_asyncapi_that_is_wrong_is_found_out(missing: str) -> None:
    described = asyncapi()
    del described[missing]
    assert faults(described)


def test_asyncapi_has_every_topic_and_every_message_and_each_reference_leads_somewhere() -> None:
    described = asyncapi()
    addresses = {channel["address"] for channel in described["channels"].values()}
    assert addresses == {*(topic.name for topic in TOPICS), "rowstream.records.{record_type}.v1"}
    messages = described["components"]["messages"]
    carried = {name for channel in described["channels"].values() for name in channel["messages"]}
    assert carried == messages.keys(), "no message without a topic, and no topic with an unknown one"
    for contract in contracts():
        assert fastavro.parse_schema(messages[contract.name]["payload"]["schema"])
    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)
