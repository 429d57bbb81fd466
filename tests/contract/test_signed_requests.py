"""Requests that are signed instead of carrying a key: taken once, as they were signed, and in no other way."""

import re
import secrets as random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from http_message_signatures import ContentDigest, HTTPMessageSigner, MappingKeyResolver, algorithms

from docs.generate.pages import ROOT
from ingest_gateway.access.permissions import Permission
from ingest_gateway.settings import GatewaySettings
from rowstream.database import keys, signers
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.ids import new_id
from rowstream.runtime import secrets
from tests import gateways, people, servers
from tests.engines import engine_of
from tests.problems import problem

KEYS, UPLOADS = "/api/v1/keys", "/api/v1/batch_uploads"
BODY = b'{"name": "a key", "scopes": ["uploads:read"]}'
WHERE = ("@method", "@target-uri")
ALL = (*WHERE, "content-type")


@pytest.fixture(scope="module")
def settings(
    url: str, object_store: servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> tuple[GatewaySettings, secrets.Secrets]:
    folder = tmp_path_factory.mktemp("signed")
    made, path = people.settings_with_secrets(url, servers.storage_settings(object_store), folder)
    return made, secrets.read(path)


@pytest.fixture(scope="module")
def address(settings: tuple[GatewaySettings, secrets.Secrets]) -> Iterator[str]:
    with gateways.serving(settings[0]) as address:
        yield address


@pytest.fixture(scope="module")
def api(address: str) -> Iterator[httpx.Client]:
    with gateways.client_of(address, None) as client:
        yield client


class Signer:
    """A key that signs, with which requests are made."""

    def __init__(self, address: str, key_id: str, secret: str) -> None:
        self.address, self.key_id, self.secret = address, key_id, secret

    def request(
        self,
        method: str = "POST",
        path: str = KEYS,
        body: bytes | None = BODY,
        *,
        covered: tuple[str, ...] | None = None,
        headers: dict[str, str] | None = None,
        algorithm: Any = algorithms.HMAC_SHA256,
        **parameters: Any,
    ) -> httpx.Request:
        own = {"Content-Type": "application/json"} if body else {}
        request = httpx.Request(method, self.address + path, content=body, headers={**own, **(headers or {})})
        resolver = MappingKeyResolver(public_keys={}, private_keys={self.key_id: self.secret.encode()})
        chosen = covered or (ALL if body else WHERE)
        given = {"nonce": random.token_urlsafe(16), "body": body, "created": datetime.now(UTC), **parameters}
        signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
        signer.sign(request, key_id=self.key_id, covered_component_ids=chosen, **given)
        return request


@pytest.fixture
def make_signer(url: str, address: str, settings: tuple[GatewaySettings, secrets.Secrets]) -> Callable[..., Signer]:
    def make(**columns: Any) -> Signer:
        key_id = new_id()
        secret = signers.secret_of(settings[1], key_id)
        given = {"scopes": list(Permission), **columns}
        with engine_of(url, pool_size=1) as engine, engine.begin() as connection:
            keys.make_key(connection, DEFAULT_ORGANIZATION, "ledger", key_id=key_id, signing_secret=secret, **given)
        return Signer(address, str(key_id), secret)

    return make


@pytest.fixture
def signer(make_signer: Callable[..., Signer]) -> Signer:
    return make_signer()


def refused(answer: httpx.Response, said: str = "") -> None:
    assert said in problem(answer, 401, "unauthorized")["detail"]


def test_a_signed_request_is_taken_and_done_in_the_keys_name(api: httpx.Client, signer: Signer, url: str) -> None:
    answer = api.send(signer.request())
    assert answer.status_code == 201, answer.text
    assert answer.json()["created_by"] == "ledger"
    assert api.send(signer.request("GET", f"{KEYS}?limit=3", None)).status_code == 200
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT actor_id::text FROM acts WHERE target = %s", (answer.json()["id"],))
        assert found.fetchall() == [(signer.key_id,)]


def test_authority_path_and_query_are_as_good_as_the_address(api: httpx.Client, signer: Signer) -> None:
    covered = ("@method", "@authority", "@path", "@query")
    assert api.send(signer.request("GET", f"{KEYS}?limit=3", None, covered=covered)).status_code == 200
    assert api.send(signer.request("GET", KEYS, None, covered=covered[:3])).status_code == 200
    refused(api.send(signer.request("GET", f"{KEYS}?limit=3", None, covered=covered[:3])), "@query")


def test_one_that_comes_again_is_refused_here_and_by_another_gateway(
    api: httpx.Client, signer: Signer, settings: tuple[GatewaySettings, secrets.Secrets]
) -> None:
    request = signer.request()
    assert api.send(request).status_code == 201
    refused(api.send(request), "came before")
    with gateways.serving(settings[0]) as address, gateways.client_of(address, None) as second:
        headers = {**request.headers, "host": request.headers["host"]}
        refused(second.request("POST", KEYS, content=BODY, headers=headers), "came before")
    nonce = random.token_urlsafe(16)
    assert api.send(signer.request(nonce=nonce)).status_code == 201
    refused(api.send(signer.request("GET", KEYS, None, nonce=nonce)), "came before")


def test_two_keys_may_use_one_nonce(api: httpx.Client, make_signer: Callable[..., Signer]) -> None:
    answers = [api.send(make_signer().request(nonce="1")).status_code for _ in range(2)]
    assert answers == [201, 201]


def test_what_was_refused_uses_no_nonce_up(api: httpx.Client, signer: Signer) -> None:
    request = signer.request()
    good = request.headers["signature"]
    request.headers["signature"] = good.replace(good[8:12], "AAAA")
    refused(api.send(request), "not one of a valid key")
    request.headers["signature"] = good
    assert api.send(request).status_code == 201


def altered(request: httpx.Request, **changed: Any) -> httpx.Request:
    given = {"method": request.method, "url": request.url, "content": request.content, **changed}
    headers = {**request.headers, **given.pop("headers", {})}
    headers["content-length"] = str(len(given["content"]))
    return httpx.Request(given.pop("method"), given.pop("url"), headers=headers, **given)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"url": "/api/v1/members"},
        {"url": f"{KEYS}?limit=200"},
        {"headers": {"content-type": "text/plain"}},
        {"headers": {"host": "elsewhere.example"}},
        {"headers": {"content-digest": ContentDigest.create(b"{}")}, "content": b"{}"},
    ],
)
def test_what_was_altered_on_the_way_is_refused(api: httpx.Client, signer: Signer, changed: dict[str, Any]) -> None:
    if "url" in changed:
        changed = {**changed, "url": signer.address + changed["url"]}
    answer = api.send(altered(signer.request(), **changed))
    assert answer.status_code in (401, 405), answer.text  # no operation takes PUT
    if "method" not in changed:
        refused(answer, "not one of a valid key")


def test_another_body_than_the_signed_one_is_refused(api: httpx.Client, signer: Signer, url: str) -> None:
    other = BODY.replace(b"uploads:read", b"keys:manage")
    problem(api.send(altered(signer.request(), content=other)), 400, "digest_differs")
    with psycopg.connect(url) as connection:
        made = connection.execute("SELECT count(*) FROM api_keys WHERE scopes = '{keys:manage}'").fetchone()
    assert made == (0,)


def test_a_streamed_body_is_compared_too_and_not_accepted_if_it_differs(
    api: httpx.Client, signer: Signer, url: str
) -> None:
    name, csv = f"{uuid4()}.csv", b"a,b\n" * 50_000
    path = f"{UPLOADS}/content?record_type=member_certification&filename={name}"
    request = signer.request("POST", path, csv, headers={"Content-Type": "text/csv"})
    problem(api.send(altered(request, content=csv[:-1] + b"X")), 400, "digest_differs")
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM batch_uploads WHERE filename = %s AND accepted_at IS NOT NULL"
        assert connection.execute(query, (name,)).fetchone() == (0,)
    again = signer.request("POST", path, csv, headers={"Content-Type": "text/csv"})
    assert api.send(again).status_code == 202


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"covered": ("@target-uri", "content-type")}, '"@method"'),
        ({"covered": ("@method", "content-type")}, '"@target-uri"'),
        ({"covered": ("@method", "@path", "content-type")}, '"@target-uri"'),
        ({"covered": WHERE}, '"content-type"'),
        ({"body": b"", "covered": WHERE, "headers": {"Idempotency-Key": "1"}}, '"idempotency-key"'),
        ({"nonce": None}, "nonce"),
        ({"nonce": "x" * 129}, "nonce"),
        ({"created": timedelta(minutes=-6)}, "valid for 300 seconds"),
        ({"created": timedelta(minutes=6)}, "valid for 300 seconds"),
        ({"expires": timedelta(seconds=-30)}, "time is over"),
    ],
)
def test_what_a_signature_lacks_is_said(
    api: httpx.Client, signer: Signer, parameters: dict[str, Any], said: str
) -> None:
    now = datetime.now(UTC)
    times = {name: now + value for name, value in parameters.items() if isinstance(value, timedelta)}
    refused(api.send(signer.request(**{**parameters, **times})), said)


def test_a_body_without_its_digest_is_refused(api: httpx.Client, signer: Signer) -> None:
    request = signer.request("POST", KEYS, None)
    refused(api.send(altered(request, content=BODY, headers={"content-type": "application/json"})), "content-digest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature", ""),
        ("signature", "pyhms=:AAAA:"),
        ("signature", "nonsense"),
        ("signature", "x" * 3_000),
        ("signature-input", "nonsense"),
        ("signature-input", "pyhms=()"),
        ("signature-input", 'pyhms=("@method" "@target-uri");created=1;keyid="x";nonce="y"'),
        ("signature-input", 'pyhms=("no-such-header");created=1;keyid="x";nonce="y"'),
        ("signature-input", 'pyhms=("@method");created="now";keyid="x";nonce="y"'),
        ("signature-input", 'pyhms=("@method");created=99999999999999;keyid="x";nonce="y"'),
    ],
)
def test_nonsense_is_refused(api: httpx.Client, signer: Signer, name: str, value: str) -> None:
    request = signer.request()
    request.headers[name] = value
    refused(api.send(request))


@pytest.mark.parametrize("name", ["signature", "signature-input"])
def test_half_a_signature_is_none(api: httpx.Client, signer: Signer, name: str) -> None:
    request = signer.request()
    del request.headers[name]
    refused(api.send(request))


def test_another_algorithm_or_secret_or_key_is_refused(
    api: httpx.Client, signer: Signer, make_signer: Callable[..., Signer]
) -> None:
    other = make_signer()
    refused(api.send(Signer(signer.address, signer.key_id, other.secret).request()), "not one of a valid key")
    refused(api.send(Signer(signer.address, "no-id", signer.secret).request()), "not one of a valid key")
    refused(api.send(Signer(signer.address, str(new_id()), signer.secret).request()), "not one of a valid key")
    request = signer.request()
    request.headers["signature-input"] = request.headers["signature-input"].replace("hmac-sha256", "none")
    refused(api.send(request), "not one of a valid key")


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_a_key_that_has_ended_signs_no_more(api: httpx.Client, signer: Signer, url: str, column: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(f"UPDATE api_keys SET {column} = now() WHERE id = %s", (signer.key_id,))  # noqa: S608 - two names
    refused(api.send(signer.request()), "not one of a valid key")


def test_it_may_do_what_its_scopes_say(api: httpx.Client, make_signer: Callable[..., Signer]) -> None:
    reader = make_signer(scopes=["uploads:read"])
    assert api.send(reader.request("GET", UPLOADS, None)).status_code == 200
    problem(api.send(reader.request()), 403, "forbidden")


def test_its_secret_is_never_sent(api: httpx.Client, signer: Signer) -> None:
    refused(api.get(KEYS, headers=people.bearer(signer.secret)))
    request = signer.request()
    request.headers["authorization"] = f"Bearer {signer.secret}"
    refused(api.send(request), "one of the two")


def test_a_key_that_is_sent_signs_nothing(api: httpx.Client, address: str, url: str) -> None:
    key_id = new_id()
    with engine_of(url, pool_size=1) as engine, engine.begin() as connection:
        key = keys.make_key(connection, DEFAULT_ORGANIZATION, "sent", key_id=key_id)
    refused(api.send(Signer(address, str(key_id), key).request()), "not one of a valid key")


def test_one_that_is_made_over_http_signs_at_once(api: httpx.Client, signer: Signer, address: str) -> None:
    body = b'{"name": "next", "scopes": ["uploads:read"], "signed_only": true}'
    made = api.send(signer.request(body=body)).json()
    next_ = Signer(address, made["id"], made["key"])
    assert api.send(next_.request("GET", UPLOADS, None)).status_code == 200
    rotated = api.send(signer.request("POST", f"{KEYS}/{made['id']}/rotate", None)).json()
    for one in (made, rotated):
        last = Signer(address, one["id"], one["key"])
        assert api.send(last.request("GET", UPLOADS, None)).status_code == 200


def test_without_a_secrets_file_nothing_can_be_signed(url: str, object_store: servers.Server, signer: Signer) -> None:
    bare = gateways.gateway_settings(url, servers.storage_settings(object_store))
    with gateways.serving(bare) as address, gateways.client_of(address, None) as api:
        request = Signer(address, signer.key_id, signer.secret).request()
        problem(api.send(request), 503, "no_secrets_file")


@pytest.mark.parametrize(
    ("digest", "status", "kind"),
    [
        (ContentDigest.create(BODY), 401, "unauthorized"),
        (ContentDigest.create(b"another"), 400, "digest_differs"),
        ("nonsense", 400, "digest_unreadable"),
        ("md5=:AAAA:", 400, "digest_unreadable"),
        ("sha-256=:AAAA:", 400, "digest_unreadable"),
        ("x" * 2_000, 400, "digest_unreadable"),
    ],
)
def test_a_digest_is_compared_of_whatever_is_sent(api: httpx.Client, digest: str, status: int, kind: str) -> None:
    headers = {"Content-Digest": digest, "Content-Type": "application/json"}
    problem(api.post(KEYS, content=BODY, headers=headers), status, kind)


def test_the_client_of_the_guide_is_understood(api: httpx.Client, signer: Signer) -> None:
    guide = (ROOT / "docs" / "how-to" / "sign-requests.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^ *```python\n(.*?)^ *```$", guide, flags=re.MULTILINE | re.DOTALL)
    lines = [line[3:] for line in program.partition("   with httpx")[0].splitlines()]
    written = "\n".join(lines).replace("019c2f6e-5d1b-7cc3-98c4-dc0c0c07398f", signer.key_id)
    names: dict[str, Any] = {}
    exec(written.replace("rss_...", signer.secret), names)  # noqa: S102 - our own documentation
    assert api.send(names["signed"]("GET", signer.address + UPLOADS)).status_code == 200
    assert api.send(names["signed"]("POST", signer.address + KEYS, BODY)).status_code == 201
