"""People log in with an OpenID Connect provider: a real one, and one that lies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey

from tests import gateways, people, servers
from tests.people import PASSWORD_HASH, bearer, log_in, make_person
from tests.servers.oidc import (
    CLIENT_ID,
    CLIENT_SECRET,
    Liar,
    OidcProvider,
    lying_provider,
    oidc_provider_server,
)

UPLOADS = "/api/v1/batch_uploads"
BACK = "http://127.0.0.1:8000/auth/oidc/callback"
START = "/auth/oidc/start"


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying_provider() as liar:
        yield liar


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider_server(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider


def serving(url: str, store: servers.Server, folder: Path, issuer: str, **more: object) -> Any:
    oidc = {"issuer": issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_url": BACK, **more}
    settings, _ = people.settings_with_secrets(url, servers.storage_settings(store), folder, oidc=oidc)
    return gateways.serving(settings)


@pytest.fixture(scope="module")
def address(
    url: str, liar: Liar, object_store: servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("secrets")
    with serving(url, object_store, folder, liar.issuer, allowed_domains="Example.org, other.example") as address:
        yield address


@pytest.fixture
def api(address: str, liar: Liar) -> Iterator[httpx.Client]:
    """A browser: it keeps cookies, and does not follow by itself."""
    liar.reset()
    with gateways.client_of(address, None) as client:
        yield client


def back(api: httpx.Client, address: str) -> httpx.Response:
    """What a browser gets that the provider has sent back."""
    return api.get(f"{urlsplit(address).path}?{urlsplit(address).query}")


def through(api: httpx.Client, liar: Liar, **query: str) -> httpx.Response:
    begun = api.get(START, params=query)
    assert begun.status_code == 303, begun.text
    return back(api, liar.authorize(begun.headers["location"]))


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rowstream:problem:{kind}"
    return body


def execute(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def somebody(url: str, liar: Liar, **person: Any) -> str:
    """An invited person, whom the provider vouches for from now on."""
    email = make_person(url, **{"password_hash": None, **person})
    liar.claims = {"sub": str(uuid4()), "email": email}
    return email


class TestWithARealProvider:
    def test_somebody_who_was_invited_comes_in(
        self, url: str, provider: OidcProvider, object_store: servers.Server, tmp_path: Path
    ) -> None:
        email = make_person(url, "reviewer", password_hash=None)
        provider.know("subject-1", email=email.upper(), email_verified=True)
        provider.know("subject-2", email="stranger@example.org", email_verified=True)
        with (
            serving(url, object_store, tmp_path, provider.issuer) as address,
            gateways.client_of(address, None) as api,
        ):
            for _ in range(2):
                sent = api.get(START).headers["location"]
                assert sent.startswith(f"{provider.issuer}/oauth2/authorize?")
                answer = back(api, provider.authorize(sent, "subject-1"))
                assert answer.status_code == 200, answer.text
                session = answer.json()
                assert (session["user"]["email"], session["role"]) == (email, "reviewer")
                assert api.get(UPLOADS, headers=bearer(session["access_token"])).status_code == 200
            stranger = back(api, provider.authorize(api.get(START).headers["location"], "subject-2"))
            refused(stranger, 401, "not_invited")
        query = "SELECT oidc_issuer, oidc_subject FROM users WHERE email = %s"
        assert execute(url, query, email) == [(provider.issuer, "subject-1")]


class TestStart:
    def test_the_provider_is_asked_for_a_code_with_all_that_protects_it(self, api: httpx.Client) -> None:
        answers = [api.get(START) for _ in range(2)]
        asked = [parse_qs(urlsplit(answer.headers["location"]).query) for answer in answers]
        assert asked[0].keys() >= {"state", "nonce", "code_challenge", "redirect_uri", "scope"}
        assert asked[0]["redirect_uri"] == [BACK]
        for name in ("state", "nonce", "code_challenge"):
            assert asked[0][name] != asked[1][name]
            assert len(asked[0][name][0]) >= 43
        cookie = answers[0].headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/"} <= set(cookie.split("; "))
        assert not any(asked[0][name][0] in cookie for name in ("state", "nonce"))

    @pytest.mark.parametrize("organization", ["", "%00", "a%1Fb", "x" * 201])
    def test_an_organization_that_cannot_be_is_refused(self, api: httpx.Client, organization: str) -> None:
        refused(api.get(f"{START}?organization={organization}"), 422, "invalid_request")

    def test_by_https_the_cookie_is_for_https_and_this_host_alone(
        self, url: str, liar: Liar, object_store: servers.Server, tmp_path: Path
    ) -> None:
        redirect = "https://here.example/auth/oidc/callback"
        with (
            serving(url, object_store, tmp_path, liar.issuer, redirect_url=redirect) as address,
            gateways.client_of(address, None) as api,
        ):
            cookie = api.get(START).headers["set-cookie"]
        assert cookie.startswith("__Host-rowstream-log-in=")
        assert "Secure" in cookie.split("; ")

    def test_without_a_provider_it_says_what_to_set(
        self, url: str, object_store: servers.Server, tmp_path: Path
    ) -> None:
        settings, _ = people.settings_with_secrets(url, servers.storage_settings(object_store), tmp_path)
        with gateways.serving(settings) as address, gateways.client_of(address, None) as api:
            for path in (START, "/auth/oidc/callback?code=1&state=2"):
                assert "ROWSTREAM_OIDC__ISSUER" in refused(api.get(path), 404, "no_provider")["detail"]


class TestCallback:
    def test_the_first_time_binds_the_account_and_then_the_address_does_not_matter(
        self, api: httpx.Client, liar: Liar, url: str
    ) -> None:
        email = somebody(url, liar)
        first = through(api, liar)
        assert first.status_code == 200, first.text
        assert "Max-Age=0" in first.headers["set-cookie"]
        liar.claims["email"] = "new-name@other.example"
        assert through(api, liar).json()["user"]["email"] == email
        liar.claims = {"sub": "somebody else", "email": email}
        refused(through(api, liar), 401, "not_invited")
        acts = execute(url, "SELECT action, details FROM acts WHERE actor_name = %s", email)
        assert acts == [("session.opened", {"by": "provider"})] * 2

    def test_who_has_a_password_may_come_by_the_provider_too(self, api: httpx.Client, liar: Liar, url: str) -> None:
        email = somebody(url, liar, password_hash=PASSWORD_HASH)
        assert through(api, liar).status_code == 200
        assert log_in(api, email).status_code == 200

    def test_who_only_comes_by_the_provider_has_no_password(self, api: httpx.Client, liar: Liar, url: str) -> None:
        email = somebody(url, liar)
        assert through(api, liar).status_code == 200
        refused(log_in(api, email), 401, "wrong_credentials")

    def test_the_organization_is_named_at_the_start(self, api: httpx.Client, liar: Liar, url: str) -> None:
        email = somebody(url, liar)
        other = servers.make_organization(url, f"other of {email}")
        people.join(url, email, "owner", other)
        refused(through(api, liar), 409, "organization_not_named")
        assert through(api, liar, organization=f"other of {email}").json()["organization"]["id"] == str(other)
        refused(through(api, liar, organization="nobody's"), 403, "no_membership")

    def test_an_invitation_changes_nothing_about_how_one_logs_in(self, api: httpx.Client, liar: Liar, url: str) -> None:
        email = somebody(url, liar)
        name = f"stranger to {email}"
        people.join(url, email, "owner", servers.make_organization(url, name), accepted=False)
        assert through(api, liar).json()["organization"]["name"] == "default"
        assert through(api, liar, organization=name).json()["organization"]["name"] == name
        refused(through(api, liar), 409, "organization_not_named")

    def test_a_disabled_person_is_not_let_in(self, api: httpx.Client, liar: Liar, url: str) -> None:
        email = somebody(url, liar)
        execute(url, "UPDATE users SET disabled_at = now() WHERE email = %s", email)
        refused(through(api, liar), 401, "not_invited")
        assert execute(url, "SELECT oidc_subject FROM users WHERE email = %s", email) == [(None,)]

    def test_an_answer_is_good_once_in_the_browser_that_asked(self, api: httpx.Client, liar: Liar, url: str) -> None:
        somebody(url, liar)
        address = liar.authorize(api.get(START).headers["location"])
        with gateways.client_of(str(api.base_url), None) as other:
            refused(back(other, address), 401, "log_in_failed")
            other.get(START)
            refused(back(other, address), 401, "log_in_failed")
        kept = dict(api.cookies)
        assert back(api, address).status_code == 200
        refused(back(api, address), 401, "log_in_failed")
        api.cookies.update(kept)
        refused(back(api, address), 401, "log_in_failed")

    def test_of_two_begun_at_once_the_last_one_counts(self, api: httpx.Client, liar: Liar, url: str) -> None:
        somebody(url, liar)
        first, second = (liar.authorize(api.get(START).headers["location"]) for _ in range(2))
        refused(back(api, first), 401, "log_in_failed")
        assert back(api, second).status_code == 200

    @pytest.mark.parametrize("query", ["", "code=0", "state=x", "error=access_denied&state=x", "code=0&state=%00"])
    def test_what_is_no_answer_is_refused(self, api: httpx.Client, query: str) -> None:
        api.get(START)
        refused(api.get(f"/auth/oidc/callback?{query}"), 401, "log_in_failed")

    @pytest.mark.parametrize("cookie", ["", "x", "a.b.c.d.e", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0....", "é"])
    def test_a_cookie_that_is_not_ours_is_refused(self, api: httpx.Client, cookie: str) -> None:
        headers = {b"Cookie": b"rowstream-log-in=" + cookie.encode("latin-1")}
        answer = api.get("/auth/oidc/callback?code=0&state=x", headers=headers)
        refused(answer, 401, "log_in_failed")

    def test_a_cookie_of_another_system_is_refused(
        self, api: httpx.Client, liar: Liar, url: str, object_store: servers.Server, tmp_path: Path
    ) -> None:
        somebody(url, liar)
        with (
            serving(url, object_store, tmp_path, liar.issuer) as address,
            gateways.client_of(address, None) as other,
        ):
            answer = liar.authorize(api.get(START).headers["location"])
            other.cookies.update(api.cookies)
            refused(back(other, answer), 401, "log_in_failed")

    def test_an_answer_of_another_provider_is_refused(self, api: httpx.Client, liar: Liar, url: str) -> None:
        somebody(url, liar)
        address = liar.authorize(api.get(START).headers["location"])
        refused(back(api, f"{address}&iss=https%3A%2F%2Fevil.example"), 401, "log_in_failed")
        address = liar.authorize(api.get(START).headers["location"])
        assert back(api, f"{address}&iss={liar.issuer}").status_code == 200


def hmac_with_the_secret(liar: Liar) -> None:
    liar.raw_token = jws.serialize_compact(
        {"alg": "HS256", "kid": liar.key.kid}, "{}", OctKey.import_key(CLIENT_SECRET * 2), algorithms=["HS256"]
    )


LIES: dict[str, Callable[[Liar], object]] = {
    "another issuer": lambda liar: liar.claims.update(iss="https://evil.example"),
    "no issuer": lambda liar: liar.claims.update(iss=None),
    "another audience": lambda liar: liar.claims.update(aud="another client"),
    "several audiences, for nobody in particular": lambda liar: liar.claims.update(aud=[CLIENT_ID, "other"]),
    "for another party": lambda liar: liar.claims.update(azp="other"),
    "over": lambda liar: liar.claims.update(exp=1),
    "without an end": lambda liar: liar.claims.update(exp=None),
    "of tomorrow": lambda liar: liar.claims.update(iat=2**40, exp=2**41),
    "another nonce": lambda liar: liar.claims.update(nonce="x"),
    "no nonce": lambda liar: liar.claims.update(nonce=None),
    "nobody": lambda liar: liar.claims.update(sub=None),
    "an empty subject": lambda liar: liar.claims.update(sub=""),
    "a subject that is a number": lambda liar: liar.claims.update(sub=1),
    "a subject with NUL": lambda liar: liar.claims.update(sub="a\0b"),
    "a subject without end": lambda liar: liar.claims.update(sub="x" * 256),
    "an address that is not verified": lambda liar: liar.claims.update(email_verified=False),
    "an address of which nothing is known": lambda liar: liar.claims.update(email_verified=None),
    "an address verified by a number": lambda liar: liar.claims.update(email_verified=1),
    "an address verified by a list": lambda liar: liar.claims.update(email_verified=[True]),
    "for a list of parties": lambda liar: liar.claims.update(azp=[CLIENT_ID]),
    "a list of addresses": lambda liar: liar.claims.update(email=["a@example.org"]),
    "no at": lambda liar: liar.claims.update(email="example.org"),
    "a domain that is not allowed": lambda liar: liar.claims.update(email="a@evil.example"),
    "a domain within one that is": lambda liar: liar.claims.update(email="a@sub.example.org"),
    "a domain that begins like one": lambda liar: liar.claims.update(email="a@example.org.evil.example"),
    "an unknown kid": lambda liar: liar.header.update(kid="unknown"),
    "HMAC with the client's secret": hmac_with_the_secret,
    "no signature": lambda liar: setattr(liar, "raw_token", "eyJhbGciOiJub25lIn0.e30."),
    "no token": lambda liar: setattr(liar, "raw_token", "x"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_of_the_provider_is_refused(api: httpx.Client, liar: Liar, url: str, lie: str) -> None:
    email = somebody(url, liar)
    LIES[lie](liar)
    refused(through(api, liar), 401, "log_in_failed")
    assert execute(url, "SELECT oidc_subject FROM users WHERE email = %s", email) == [(None,)]


def test_without_the_lies_it_is_believed(api: httpx.Client, liar: Liar, url: str) -> None:
    somebody(url, liar)
    liar.claims |= {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID, "email_verified": "true"}
    assert through(api, liar).status_code == 200


def test_a_token_signed_with_another_key_under_a_known_id_is_refused(api: httpx.Client, liar: Liar, url: str) -> None:
    somebody(url, liar)
    mine, liar.key = liar.key, RSAKey.generate_key(2048, parameters={"kid": str(liar.key.kid)})
    try:
        refused(through(api, liar), 401, "log_in_failed")
    finally:
        liar.key = mine


def test_an_address_that_is_not_in_the_token_is_asked_for(api: httpx.Client, liar: Liar, url: str) -> None:
    email = somebody(url, liar)
    liar.claims |= {"email": None, "email_verified": None}
    liar.userinfo = {"sub": "another", "email": email, "email_verified": True}
    refused(through(api, liar), 401, "log_in_failed")
    liar.userinfo["sub"] = liar.claims["sub"]
    assert through(api, liar).status_code == 200


def test_a_provider_that_takes_the_secret_in_the_body_gets_it_there(
    liar: Liar, url: str, object_store: servers.Server, tmp_path: Path
) -> None:
    liar.reset()
    somebody(url, liar)
    liar.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with serving(url, object_store, tmp_path, liar.issuer) as address, gateways.client_of(address, None) as api:
        assert through(api, liar).status_code == 200


def test_new_keys_of_the_provider_are_asked_for_and_it_may_be_away(
    liar: Liar, url: str, object_store: servers.Server, tmp_path: Path
) -> None:
    liar.reset()
    with serving(url, object_store, tmp_path, liar.issuer) as address, gateways.client_of(address, None) as api:
        liar.status = 500
        refused(api.get(START), 503, "provider_unavailable")
        liar.asked.clear()
        answer = api.get(START)
        refused(answer, 503, "provider_unavailable")
        assert answer.headers["retry-after"]
        assert liar.asked == [], "it is left alone for some seconds"


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": 1},
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_refused(
    discovery: dict[str, Any], liar: Liar, url: str, object_store: servers.Server, tmp_path: Path
) -> None:
    liar.reset()
    liar.discovery = discovery
    with serving(url, object_store, tmp_path, liar.issuer) as address, gateways.client_of(address, None) as api:
        refused(api.get(START), 503, "provider_unavailable")
