"""Requests made from the API's own description, right and wrong ones, by somebody who may do everything.

None may be answered by a fault of ours, nor by anything that the description does not say of it: status, media type,
headers, body. Half of them name something that is there, the other half whatever comes to mind.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ingest_gateway.api.app import make_app
from ingest_gateway.settings import GatewaySettings
from tests import gateways, servers
from tests.callers import World, world

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,  # the same requests in each run
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def everything(
    postgres: servers.Postgres, object_store: servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("secrets")
    with postgres.fresh_database() as url, world(url, servers.storage_settings(object_store), folder) as made:
        yield made


def description() -> dict[str, Any]:
    """What a gateway serves at /openapi.json, of one that nothing stands behind."""
    with gateways.opened(GatewaySettings()) as gateway:
        return make_app(gateway).openapi()


described = schemathesis.openapi.from_dict(description())
described.config.phases.coverage.enabled = False  # hundreds of requests an operation


def there(everything: World, name: str) -> str:
    """The id of something that is there, for a parameter of a path."""
    made: dict[str, Any] = {
        "upload_id": everything.upload,
        "dead_letter_id": everything.dead_letter,
        "key_id": everything.key,
        "user_id": everything.member,
    }
    return str(made[name]())


def ask(everything: World, case: Any) -> None:
    wanted = "owner" if case.path.startswith("/auth/") else "key with every scope"
    (caller,) = (one for one in everything.callers if one.name == wanted and one.own)
    case.call_and_validate(base_url=str(everything.client.base_url), headers=caller.headers(), checks=CHECKS)


@described.parametrize()
@FEW
def test_every_answer_is_described(case: Any, everything: World) -> None:
    ask(everything, case)


@described.include(path_regex=r"\{").parametrize()
@FEW
def test_so_is_every_answer_about_something_that_is_there(case: Any, everything: World) -> None:
    case.path_parameters = {name: there(everything, name) for name in case.path_parameters}
    ask(everything, case)


def test_an_answer_that_is_not_described_is_found_out(everything: World) -> None:
    told = description()
    path = "/api/v1/batch_uploads/{upload_id}"
    del told["paths"][path]["get"]["responses"]["404"]
    case = schemathesis.openapi.from_dict(told)[path]["GET"].Case(path_parameters={"upload_id": "nonsense"})
    with pytest.raises(FailureGroup, match="404"):
        ask(everything, case)
