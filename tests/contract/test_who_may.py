"""Who may do what: every operation of the API's description, asked by everybody who may stand before it.

The description says which operations there are; the table below says what each needs and makes a request of it that
would succeed. An operation without a row fails, and so does a row whose need is not the described one.

Each request is made first by all who may not make it, always of the same thing, and only then by those who may: so
whoever was refused has also changed nothing about that thing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from ingest_gateway.access.permissions import Permission
from ingest_gateway.api import app as application
from ingest_gateway.api.app import make_app
from ingest_gateway.api.roots import ROOTS
from tests import gateways, servers
from tests.callers import FILE, LANDING, Caller, World, world
from tests.servers import object_store_server

P = Permission
UPLOADS = ROOTS["api"]
Given = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What an operation needs, and a request that succeeds.

    Attributes:
        needs: what the caller must be allowed; None: to be a person in a session, in whatever role.
        request: path parameters (`path`) and what httpx takes; made anew for each request that shall succeed.
        names: whether the request names something of the organization, which is not there for others.
    """

    needs: Permission | None
    request: Callable[[World, Caller], Given]
    names: bool = False


def plain(**given: Any) -> Callable[[World, Caller], Given]:
    return lambda *_: given


def of(parameter: str, make: Callable[[World], object], **given: Any) -> Callable[[World, Caller], Given]:
    """A request whose path names something that is made for it."""
    return lambda world, _: {"path": {parameter: make(world)}, **given}


def invitation(_: World, __: Caller) -> Given:
    return {"json": {"email": f"{uuid4()}@example.org", "role": "viewer"}}


def new_password(_: World, caller: Caller) -> Given:
    if caller.person is None:
        return {"json": {"current_password": "x", "new_password": "x" * 20}}
    given = {"current_password": caller.person.password, "new_password": f"a new one {uuid4()}"}
    return {"json": given}


def reference(world: World, caller: Caller) -> Given:
    return {"json": {"record_type": FILE["record_type"], "bucket": LANDING, "key": world.laid(caller)}}


def upload(world: World) -> UUID:
    return world.upload()


EVERYWHERE = {
    "POST {root}/presigned_url": Row(P.UPLOADS_WRITE, plain(json={**FILE, "size_bytes": 3})),
    "POST {root}": Row(P.UPLOADS_WRITE, lambda world, _: {"json": {"upload_id": world.waiting()}}, names=True),
    "POST {root}/content": Row(
        P.UPLOADS_WRITE, plain(params=FILE, content=b"a,b\n", headers={"Content-Type": "text/csv"})
    ),
    "POST {root}/reference": Row(P.UPLOADS_WRITE, reference),
    "POST {root}/multipart": Row(P.UPLOADS_WRITE, plain(json={**FILE, "size_bytes": 3})),
    "POST {root}/{upload_id}/parts": Row(
        P.UPLOADS_WRITE, of("upload_id", World.in_parts, json={"numbers": [1]}), names=True
    ),
    "GET {root}/{upload_id}/parts": Row(P.UPLOADS_WRITE, of("upload_id", World.in_parts), names=True),
    "POST {root}/{upload_id}/complete": Row(
        P.UPLOADS_WRITE, of("upload_id", lambda world: world.in_parts(sent=True)), names=True
    ),
    "POST {root}/{upload_id}/abort": Row(P.UPLOADS_WRITE, of("upload_id", World.in_parts), names=True),
    "GET {root}": Row(P.UPLOADS_READ, plain()),
    "GET {root}/{upload_id}": Row(P.UPLOADS_READ, of("upload_id", upload), names=True),
    "POST {root}/{upload_id}/pause": Row(P.UPLOADS_CONTROL, of("upload_id", upload), names=True),
    "POST {root}/{upload_id}/resume": Row(P.UPLOADS_CONTROL, of("upload_id", upload), names=True),
    "POST {root}/{upload_id}/cancel": Row(P.UPLOADS_CONTROL, of("upload_id", upload, json={"undo": True}), names=True),
    "POST {root}/{upload_id}/retry": Row(
        P.UPLOADS_CONTROL, of("upload_id", lambda world: world.upload("failed")), names=True
    ),
    "GET {root}/{upload_id}/errors": Row(P.ERRORS_READ, of("upload_id", upload), names=True),
    "GET {root}/{upload_id}/acts": Row(P.ACTS_READ, of("upload_id", upload), names=True),
}
"""What is served under both roots, for people and for systems."""

TABLE = {
    **{name.replace("{root}", root): row for root in ROOTS.values() for name, row in EVERYWHERE.items()},
    "GET /api/v1/dead_letters": Row(P.UPLOADS_READ, plain()),
    "GET /api/v1/dead_letters/{dead_letter_id}": Row(
        P.UPLOADS_READ, of("dead_letter_id", World.dead_letter), names=True
    ),
    "GET /api/v1/record_types": Row(P.UPLOADS_READ, plain()),
    "GET /api/v1/organization": Row(P.ORGANIZATION_READ, plain()),
    "PATCH /api/v1/organization": Row(P.ORGANIZATION_MANAGE, plain(json={"duplicate_policy": "allow"})),
    "GET /api/v1/members": Row(P.MEMBERS_READ, plain()),
    "POST /api/v1/members": Row(P.MEMBERS_MANAGE, invitation),
    "PATCH /api/v1/members/{user_id}": Row(
        P.MEMBERS_MANAGE, of("user_id", World.member, json={"role": "viewer"}), names=True
    ),
    "DELETE /api/v1/members/{user_id}": Row(P.MEMBERS_MANAGE, of("user_id", World.member), names=True),
    "GET /api/v1/keys": Row(P.KEYS_READ, plain()),
    "POST /api/v1/keys": Row(P.KEYS_MANAGE, plain(json={"name": "a key", "scopes": ["keys:manage"]})),
    "POST /api/v1/keys/{key_id}/rotate": Row(
        P.KEYS_MANAGE, of("key_id", lambda world: world.key(frozenset({P.KEYS_MANAGE}))), names=True
    ),
    "DELETE /api/v1/keys/{key_id}": Row(P.KEYS_MANAGE, of("key_id", World.key), names=True),
    "GET /api/v1/acts": Row(P.ACTS_READ, plain()),
    "POST /events/s3": Row(P.UPLOADS_WRITE, plain(json={"Service": "Amazon S3", "Event": "s3:TestEvent"})),
    "POST /auth/logout_everywhere": Row(None, plain()),
    "POST /auth/password": Row(None, new_password),
}

PUBLIC = {
    "POST /auth/login": "who somebody is, is what it finds out",
    "POST /auth/refresh": "the refresh token in the body says who somebody is",
    "POST /events/sns": "SNS signs what it sends, and a setting names the topics that are believed",
    "POST /auth/logout": "the refresh token in the body says who somebody is",
    "GET /auth/oidc/start": "sends people to their provider, who finds out who they are",
    "GET /auth/oidc/callback": "what the provider says of somebody is what it checks",
    "GET /.well-known/jwks.json": "others verify access tokens with these keys, of which it shows the public half",
}
NOT_DESCRIBED = {
    "/": "says where to find things",
    "/docs": "the description, for people",
    "/asyncapi.json": "the description of topics and messages",
    "/healthz": "for supervisors: says ok and no more",
    "/readyz": "for supervisors and load balancers: which parts are away",
    "/metrics": "for Prometheus: numbers, of nobody's records",
}
GIVES = {"POST /api/v1/members", "PATCH /api/v1/members/{user_id}", "DELETE /api/v1/members/{user_id}"}
"""Where who may do it at all must also be what they give or take: members:manage alone does not suffice."""


@pytest.fixture(scope="module")
def everybody(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("who_may")
    with (
        postgres.fresh_database() as url,
        object_store_server(folder / "objects") as store,
        world(url, servers.storage_settings(store), folder) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def operations(everybody: World) -> dict[str, dict[str, Any]]:
    """Each operation of the description, by method and path."""
    paths = everybody.client.get("/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}


def test_every_operation_has_a_row_and_every_row_an_operation(operations: dict[str, dict[str, Any]]) -> None:
    assert set(operations) - set(TABLE) - set(PUBLIC) == set(), "say in TABLE what it needs, or in PUBLIC why not"
    assert set(TABLE) | set(PUBLIC) == set(operations)
    assert set(TABLE).isdisjoint(PUBLIC)


def test_the_description_says_what_each_needs(operations: dict[str, dict[str, Any]]) -> None:
    said = {
        name: [way for one in said.get("security", []) for way in one.values()] for name, said in operations.items()
    }
    assert {name: ways for name, ways in said.items() if name in PUBLIC} == {name: [] for name in PUBLIC}
    for name, row in TABLE.items():
        assert said[name], name
        assert all(way == ([row.needs] if row.needs else []) for way in said[name]), name


def test_what_is_served_beside_the_description_is_known(everybody: World) -> None:
    with gateways.opened(everybody.settings) as gateway:
        app = make_app(gateway)
    hidden = {
        getattr(route, "path", "")
        for router in application._ROUTERS
        for route in router.routes
        if not getattr(route, "include_in_schema", False)
    }
    assert hidden == set(NOT_DESCRIBED)
    assert app.openapi_url == "/openapi.json"


@pytest.mark.parametrize("name", TABLE)
def test_each_operation_is_done_for_those_who_may(name: str, everybody: World) -> None:
    row = TABLE[name]
    expected = {caller.name: expectation(name, row, caller) for caller in everybody.callers}
    assert {"nobody", "viewer", "key of another organization", "expired key", "revoked key"} <= set(expected)
    found = {}
    shared: dict[bool, Given] = {}
    for caller in sorted(everybody.callers, key=lambda caller: expected[caller.name] == "done"):
        if expected[caller.name] == "done" or not shared:
            shared = {True: row.request(everybody, caller)}
        found[caller.name] = outcome(name, shared[True], caller, everybody)
    assert found == expected


def expectation(name: str, row: Row, caller: Caller) -> str:
    """What becomes of a request: `done`, or the status of its refusal."""
    if caller.may is None:
        return "401"
    if row.needs is None:
        return "done" if caller.person else "403"
    if row.needs not in caller.may or (name in GIVES and caller.may == {row.needs}):
        return "403"
    return "404" if row.names and not caller.own else "done"


def outcome(name: str, given: Given, caller: Caller, world: World) -> str:
    method, _, path = name.partition(" ")
    headers = {**given.get("headers", {}), **world.credentials(caller, last=TABLE[name].needs is None)}
    request = {key: value for key, value in given.items() if key not in ("path", "headers")}
    answer = world.client.request(method, path.format(**given.get("path", {})), headers=headers, **request)
    if name == "POST /auth/password" and answer.is_success and caller.person:
        caller.person.password = given["json"]["new_password"]
    return "done" if answer.is_success else str(answer.status_code)


def test_what_others_have_is_told_as_what_nobody_has(everybody: World) -> None:
    """Byte for byte but for the ids, so that nobody learns what there is."""
    (stranger,) = [caller for caller in everybody.callers if caller.name == "key of another organization"]
    for name, row in TABLE.items():
        method, _, path = name.partition(" ")
        if not row.names or "{" not in path:
            continue
        theirs = row.request(everybody, stranger)
        (parameter, there), request = next(iter(theirs.pop("path").items())), theirs
        bodies = []
        for named in (str(there), str(uuid4())):
            url = path.format(**{parameter: named})
            answer = everybody.client.request(method, url, headers=everybody.credentials(stranger), **request)
            body = answer.text.replace(named, "ID").replace(answer.headers["x-correlation-id"], "C")
            bodies.append((answer.status_code, body))
        assert bodies[0] == bodies[1], name
        assert bodies[0][0] == 404, name
