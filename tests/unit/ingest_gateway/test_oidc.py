"""What is believed of a provider, and of a browser that comes back from it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from ingest_gateway.access import oidc
from ingest_gateway.access.oidc import Identity, NotTrusted, UnknownKey
from ingest_gateway.access.oidc_provider import ProviderAway, metadata_of
from ingest_gateway.access.settings import OidcSettings
from rowstream.runtime.secrets import Secrets, new_secrets

ISSUER, NOW = "https://login.example", 1_800_000_000.0
SETTINGS = OidcSettings.model_validate(
    {
        "issuer": ISSUER,
        "client_id": "c",
        "client_secret": "s",
        "redirect_url": "https://here.example/auth/oidc/callback",
    }
)
KEY = RSAKey.generate_key(2048, parameters={"kid": "1"})
KEYS = KeySet([KEY])
CLAIMS = {
    "iss": ISSUER,
    "aud": "c",
    "sub": "s-1",
    "iat": NOW,
    "exp": NOW + 60,
    "nonce": "n",
    "email": "Ann@Example.org",
    "email_verified": True,
}
SECRETS = new_secrets()


def believed(kid: str = "1", **changed: object) -> Identity:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    token = jwt.encode({"alg": "RS256", "kid": kid}, claims, KEY)
    return oidc.identity_of(oidc.claims_of(token, KEYS, SETTINGS, "n", NOW), SETTINGS)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"email_verified": "true"},
        {"aud": ["c"]},
        {"aud": ["c", "d"], "azp": "c"},
        {"exp": NOW - 30},
        {"iat": NOW + 30},
    ],
)
def test_what_is_right_is_believed(changed: dict[str, Any]) -> None:
    assert believed(**changed) == Identity(subject="s-1", email="Ann@Example.org")


@pytest.mark.parametrize(
    "changed",
    [
        {"email_verified": 1},
        {"email_verified": [True]},
        {"email_verified": "yes"},
        {"email_verified": {}},
        {"azp": ["c"]},
        {"azp": {}},
        {"aud": ["c", "d"]},
        {"aud": []},
        {"iss": [ISSUER]},
        {"nonce": ["n"]},
        {"nonce": 1},
        {"sub": {}},
        {"exp": NOW - 61},
        {"iat": NOW + 61},
        {"email": {"a": "@"}},
        {"email": "a@b\0.c"},
    ],
)
def test_claims_of_another_kind_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(NotTrusted):
        believed(**changed)


def test_a_key_that_is_not_published_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        believed(kid="2")


@given(st.text(max_size=100))
def test_whatever_a_token_or_a_cookie_is_it_is_refused(text: str) -> None:
    with pytest.raises(NotTrusted):
        oidc.claims_of(text, KEYS, SETTINGS, "n", NOW)
    with pytest.raises(NotTrusted):
        oidc.unsealed(text, "x", SECRETS, NOW)


class TestCookie:
    BEGUN = oidc.begin("acme", NOW)

    def test_it_remembers_and_nobody_reads_it(self) -> None:
        cookie = oidc.sealed(self.BEGUN, SECRETS)
        assert oidc.unsealed(cookie, self.BEGUN.state, SECRETS, NOW) == self.BEGUN
        assert self.BEGUN.verifier not in cookie
        assert oidc.sealed(self.BEGUN, SECRETS) != cookie

    @pytest.mark.parametrize(("after", "said"), [(599, None), (601, "too long")])
    def test_it_is_good_for_ten_minutes(self, after: int, said: str | None) -> None:
        cookie = oidc.sealed(self.BEGUN, SECRETS)
        if said is None:
            assert oidc.unsealed(cookie, self.BEGUN.state, SECRETS, NOW + after)
        else:
            with pytest.raises(NotTrusted, match=said):
                oidc.unsealed(cookie, self.BEGUN.state, SECRETS, NOW + after)

    def test_it_is_of_one_log_in_and_one_system(self) -> None:
        cookie = oidc.sealed(self.BEGUN, SECRETS)
        with pytest.raises(NotTrusted, match="another log-in"):
            oidc.unsealed(cookie, oidc.begin(None, NOW).state, SECRETS, NOW)
        with pytest.raises(NotTrusted, match="no log-in here"):
            oidc.unsealed(cookie, self.BEGUN.state, new_secrets(), NOW)

    def test_it_outlives_a_new_key_to_derive_from(self) -> None:
        newer = Secrets(signing=SECRETS.signing, derivation=(*new_secrets().derivation, *SECRETS.derivation))
        assert oidc.unsealed(oidc.sealed(self.BEGUN, SECRETS), self.BEGUN.state, newer, NOW) == self.BEGUN

    def test_nothing_of_it_is_in_what_is_shown(self) -> None:
        assert self.BEGUN.verifier not in repr(replace(self.BEGUN, organization=None))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"client_secret": ""}, "go together"),
        ({"redirect_url": None}, "go together"),
        ({"issuer": "http://login.example"}, "https"),
        ({"issuer": "ftp://localhost"}, "https"),
        ({"redirect_url": "http://here.example/auth/oidc/callback"}, "https"),
        ({"redirect_url": "https:///callback"}, "https"),
    ],
)
def test_settings_that_cannot_be_are_said(wrong: dict[str, Any], said: str) -> None:
    whole = {"issuer": ISSUER, "client_id": "c", "client_secret": "s", "redirect_url": "https://here.example/back"}
    with pytest.raises(ValueError, match=said):
        OidcSettings.model_validate({**whole, **wrong})


def test_domains_are_names_and_commas() -> None:
    assert OidcSettings(allowed_domains="A.example, b.example ,").domains == {"a.example", "b.example"}
    assert OidcSettings().domains == frozenset()


DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/a",
    "token_endpoint": f"{ISSUER}/t",
    "jwks_uri": f"{ISSUER}/k",
}


def test_a_discovery_document_says_how_the_secret_is_sent() -> None:
    assert metadata_of(DOCUMENT, ISSUER).secret_in_header
    posted = {**DOCUMENT, "token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert not metadata_of(posted, ISSUER).secret_in_header
    assert metadata_of({**DOCUMENT, "authorization_response_iss_parameter_supported": True}, ISSUER).names_itself


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": None},
        {"token_endpoint": "http://login.example/t"},
        {"jwks_uri": "//login.example"},
        {"jwks_uri": []},
        {"userinfo_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProviderAway):
        metadata_of({**DOCUMENT, **changed}, ISSUER)
