"""Access tokens: what is made is read again, and every other one is refused, however it was forged."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from ingest_gateway.access.settings import AccessSettings
from ingest_gateway.access.tokens import CLOCKS_APART_SECONDS, LEEWAY_SECONDS, TYPE, NotValid, issue, verify
from rowstream.database.sessions import Session
from rowstream.runtime.secrets import Secrets, new_secrets, rotated

SETTINGS = AccessSettings(issuer="https://here.example", audience="here")
SECRETS = new_secrets()
KEY = SECRETS.signing[0]
SESSION = Session(id=UUID(int=1), user_id=UUID(int=2), organization_id=UUID(int=3))
NOW = 1_800_000_000.25
AT = datetime.fromtimestamp(NOW, UTC)
HEADER = {"alg": "Ed25519", "kid": KEY.thumbprint(), "typ": TYPE}
CLAIMS = {
    "iss": SETTINGS.issuer,
    "aud": SETTINGS.audience,
    "sub": str(SESSION.user_id),
    "org": str(SESSION.organization_id),
    "sid": str(SESSION.id),
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "1",
}


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(header: dict[str, Any], claims: object, key: OKPKey = KEY) -> str:
    """Signed with our own key whatever it says, which no library would do."""
    signing_input = f"{encoded(header)}.{encoded(claims)}"
    return f"{signing_input}.{encoded(key.get_op_key('sign').sign(signing_input.encode()))}"  # type: ignore[union-attr]


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def refuses(token: str, *, secrets: Secrets = SECRETS, now: float = NOW) -> str:
    with pytest.raises(NotValid) as refused:
        verify(token, secrets, SETTINGS, now)
    return str(refused.value)


def test_what_is_made_is_read_again_to_the_microsecond() -> None:
    found = verify(issue(SECRETS, SETTINGS, SESSION, AT), SECRETS, SETTINGS, NOW)
    assert (found.session, found.issued_at) == (SESSION, AT)


def test_what_the_tests_below_start_from_is_valid() -> None:
    assert verify(signed(HEADER, CLAIMS), SECRETS, SETTINGS, NOW).session == SESSION


def test_two_tokens_differ() -> None:
    assert issue(SECRETS, SETTINGS, SESSION, AT) != issue(SECRETS, SETTINGS, SESSION, AT)


def test_it_holds_while_its_key_is_kept() -> None:
    token = issue(SECRETS, SETTINGS, SESSION, AT)
    renewed = rotated(SECRETS, keep=1)
    assert verify(token, renewed, SETTINGS, NOW).session == SESSION
    assert "unknown" in refuses(token, secrets=rotated(renewed, keep=1))


@pytest.mark.parametrize(
    ("after", "valid"),
    [
        (-CLOCKS_APART_SECONDS - 1, False),
        (-CLOCKS_APART_SECONDS + 1, True),
        (599, True),
        (599 + LEEWAY_SECONDS, True),
        (601 + LEEWAY_SECONDS, False),
        (10_000_000, False),
    ],
)
def test_it_is_valid_to_its_end_also_where_this_clock_is_behind_the_databases(after: float, *, valid: bool) -> None:
    token = issue(SECRETS, SETTINGS, SESSION, AT)
    if valid:
        assert verify(token, SECRETS, SETTINGS, NOW + after).session == SESSION
    else:
        refuses(token, now=NOW + after)


PUBLIC = json.dumps(KEY.as_dict(private=False)).encode()
OTHER = OKPKey.generate_key("Ed25519")
FORGED: dict[str, Callable[[], str]] = {
    "no algorithm, no signature": lambda: f"{encoded({**HEADER, 'alg': 'none'})}.{encoded(CLAIMS)}.",
    "no algorithm, spelled otherwise": lambda: f"{encoded({**HEADER, 'alg': 'NoNe'})}.{encoded(CLAIMS)}.",
    "no algorithm, a right signature": lambda: signed({**HEADER, "alg": "none"}, CLAIMS),
    "HS256 with the public key": lambda: jws.serialize_compact(
        {**HEADER, "alg": "HS256"}, json.dumps(CLAIMS), OctKey.import_key(PUBLIC), algorithms=["HS256"]
    ),
    "HS256 with the bytes of the public key": lambda: jws.serialize_compact(
        {**HEADER, "alg": "HS256"},
        json.dumps(CLAIMS),
        OctKey.import_key(KEY.public_key.public_bytes_raw()),
        algorithms=["HS256"],
    ),
    "another key under our kid": lambda: signed(HEADER, CLAIMS, OTHER),
    "another key under its own kid": lambda: signed({**HEADER, "kid": OTHER.thumbprint()}, CLAIMS, OTHER),
    "another key that comes along": lambda: signed(
        {**HEADER, "kid": OTHER.thumbprint(), "jwk": OTHER.as_dict(private=False)}, CLAIMS, OTHER
    ),
    "another key at an address": lambda: signed(
        {**HEADER, "kid": OTHER.thumbprint(), "jku": "https://evil.example/jwks"}, CLAIMS, OTHER
    ),
    "another kind of key": lambda: jwt.encode({**HEADER, "alg": "ES256"}, CLAIMS, ECKey.generate_key("P-256")),
    "the older name of the algorithm": lambda: signed({**HEADER, "alg": "EdDSA"}, CLAIMS),
    "no kid": lambda: signed(without(HEADER, "kid"), CLAIMS),
    "a kid that is no text": lambda: signed({**HEADER, "kid": [KEY.thumbprint()]}, CLAIMS),
    "a kid that is a path": lambda: signed({**HEADER, "kid": "../../dev/null"}, CLAIMS),
    "another type": lambda: signed({**HEADER, "typ": "JWT"}, CLAIMS),
    "no type": lambda: signed(without(HEADER, "typ"), CLAIMS),
    "crit of something unknown": lambda: signed({**HEADER, "crit": ["x"], "x": 1}, CLAIMS),
    "crit of something that is not there": lambda: signed({**HEADER, "crit": ["x"]}, CLAIMS),
    "crit of b64": lambda: signed({**HEADER, "crit": ["b64"], "b64": True}, CLAIMS),
    "crit that is empty": lambda: signed({**HEADER, "crit": []}, CLAIMS),
    "a header member more": lambda: signed({**HEADER, "cty": "JWT"}, CLAIMS),
    "another issuer": lambda: signed(HEADER, {**CLAIMS, "iss": "https://there.example"}),
    "no issuer": lambda: signed(HEADER, without(CLAIMS, "iss")),
    "a list of issuers": lambda: signed(HEADER, {**CLAIMS, "iss": [SETTINGS.issuer]}),
    "another audience": lambda: signed(HEADER, {**CLAIMS, "aud": "there"}),
    "other audiences": lambda: signed(HEADER, {**CLAIMS, "aud": ["there", "elsewhere"]}),
    "no audience": lambda: signed(HEADER, without(CLAIMS, "aud")),
    "no end": lambda: signed(HEADER, without(CLAIMS, "exp")),
    "an end that is text": lambda: signed(HEADER, {**CLAIMS, "exp": str(NOW + 600)}),
    "an end that is no number": lambda: signed(HEADER, {**CLAIMS, "exp": float("nan")}),
    "an end that is true": lambda: signed(HEADER, {**CLAIMS, "exp": True}),
    "over": lambda: signed(HEADER, {**CLAIMS, "exp": NOW - 10}),
    "not valid yet": lambda: signed(HEADER, {**CLAIMS, "nbf": NOW + 60}),
    "made tomorrow": lambda: signed(HEADER, {**CLAIMS, "iat": NOW + 86_400, "exp": NOW + 90_000}),
    "made at no time": lambda: signed(HEADER, without(CLAIMS, "iat")),
    "made before time": lambda: signed(HEADER, {**CLAIMS, "iat": -1e300}),
    "nobody": lambda: signed(HEADER, without(CLAIMS, "sub")),
    "somebody who is no id": lambda: signed(HEADER, {**CLAIMS, "sub": "root"}),
    "somebody who is a number": lambda: signed(HEADER, {**CLAIMS, "sub": 1}),
    "no organization": lambda: signed(HEADER, without(CLAIMS, "org")),
    "an organization that is a list": lambda: signed(HEADER, {**CLAIMS, "org": [CLAIMS["org"]]}),
    "no session": lambda: signed(HEADER, without(CLAIMS, "sid")),
    "claims that are no object": lambda: signed(HEADER, [CLAIMS]),
    "claims that are no JSON": lambda: signed(HEADER, b"\xff{"),
    "a header that is no object": lambda: f"{encoded([HEADER])}.{encoded(CLAIMS)}.AA",
    "changed after it was signed": lambda: ".".join(
        [
            signed(HEADER, CLAIMS).split(".")[0],
            encoded({**CLAIMS, "org": str(UUID(int=9))}),
            signed(HEADER, CLAIMS).split(".")[2],
        ]
    ),
    "without its signature": lambda: signed(HEADER, CLAIMS).rpartition(".")[0] + ".",
    "with two signatures": lambda: signed(HEADER, CLAIMS) + ".AA",
    "too long": lambda: signed(HEADER, {**CLAIMS, "more": "x" * 5_000}),
    "deep": lambda: f"{encoded(b'[' * 300)}.{encoded(CLAIMS)}.AA",
    "empty": lambda: "",
    "dots": lambda: "..",
    "no ASCII": lambda: "é.ü.☃",
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_refused(how: str) -> None:
    refuses(FORGED[how]())


@given(st.text(max_size=200) | st.builds(".".join, st.lists(st.text('abAB01-_{}[]"', max_size=20), max_size=5)))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    refuses(text)


def test_the_reason_holds_nothing_of_the_token() -> None:
    token = signed({**HEADER, "kid": "canary-4711"}, {**CLAIMS, "iss": "canary-4711"})
    assert "canary" not in refuses(token)
    assert "canary" not in refuses(signed(HEADER, {**CLAIMS, "iss": "canary-4711"}))


def test_a_clock_of_today_is_what_tokens_are_made_by() -> None:
    at = datetime.now(UTC)
    assert verify(issue(SECRETS, SETTINGS, SESSION, at), SECRETS, SETTINGS, time.time()).issued_at == at
