"""Logging in with an OpenID Connect provider: what is asked, what is remembered meanwhile, what is believed. Pure.

The authorization code flow with PKCE (RFC 7636), state and nonce. What has to be remembered between the two requests of
a browser is in a cookie that only we can read or make, so any gateway can answer the second one.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from ingest_gateway.access import seals
from ingest_gateway.access.settings import OidcSettings
from rowstream.runtime.secrets import Secrets

SCOPE = "openid email profile"
MINUTES_TO_COME_BACK = 10
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519"),
)
"""Of ID tokens: only those with a public key; `none`, and HMAC with the client's secret, never."""
_LEEWAY_SECONDS = 60
_LONGEST_SUBJECT = 255
_SEAL = ("log-in by a provider", "cookie")


class NotTrusted(Exception):
    """What came back cannot be believed; the reason is for the log, and holds nothing that was sent."""


class UnknownKey(NotTrusted):
    """An ID token is signed with a key that the provider had not published when it was asked last."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Transaction:
    """A log-in between its two requests; `until` is in seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    organization: str | None
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whom the provider vouches for; the e-mail address is one that it has verified."""

    subject: str
    email: str


def begin(organization: str | None, now: float) -> Transaction:
    """A new log-in, to one organization or to the only one."""
    return Transaction(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        organization=organization,
        until=int(now) + 60 * MINUTES_TO_COME_BACK,
    )


def address(endpoint: str, settings: OidcSettings, transaction: Transaction) -> str:
    """Where to send the browser, at the provider."""
    challenge = hashlib.sha256(transaction.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": settings.redirect_url,
        "scope": SCOPE,
        "state": transaction.state,
        "nonce": transaction.nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def sealed(transaction: Transaction, keys: Secrets) -> str:
    """The cookie that remembers a log-in: encrypted, and of no use to anybody but us."""
    return seals.seal(json.dumps(asdict(transaction)).encode(), keys, *_SEAL)


def unsealed(cookie: str | None, state: str, keys: Secrets, now: float) -> Transaction:
    """The log-in that a browser remembers, which must be the one that the provider answers.

    Raises:
        NotTrusted: there is none, it is another one, or it took too long.
    """
    try:
        transaction = Transaction(**json.loads(seals.unseal(cookie or "", keys, *_SEAL)))
    except (seals.NotOurs, ValueError, TypeError):
        raise NotTrusted("this browser began no log-in here") from None
    if not hmac.compare_digest(transaction.state.encode(), state.encode("utf-8", "surrogatepass")):
        raise NotTrusted("the provider answers another log-in than this browser began")
    if now > transaction.until:
        raise NotTrusted("the log-in took too long")
    return transaction


def claims_of(id_token: str, keys: KeySet, settings: OidcSettings, nonce: str, now: float) -> dict[str, Any]:
    """The claims of an ID token that is the provider's, for us, and of this log-in (OpenID Connect Core, 3.1.3.7).

    Raises:
        UnknownKey: the provider has changed its keys; ask for them again.
        NotTrusted: it is not.
    """
    try:
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        JWTClaimsRegistry(
            now=int(now),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.issuer or ""},
            aud={"essential": True, "value": settings.client_id or ""},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(claims)
    except InvalidKeyIdError:
        raise UnknownKey("the ID token is signed with a key that is not published") from None
    except JoseError as error:
        raise NotTrusted(f"the ID token is refused: {error.error}") from None
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise NotTrusted("the ID token cannot be read") from None
    audience, party = claims["aud"], claims.get("azp")
    if (isinstance(audience, list) and len(audience) > 1 and party is None) or party not in (None, settings.client_id):
        raise NotTrusted("the ID token is for somebody else")
    if not hmac.compare_digest(str(claims.get("nonce")).encode("utf-8", "surrogatepass"), nonce.encode()):
        raise NotTrusted("the ID token is of another log-in")
    if not 1 <= len(claims["sub"]) <= _LONGEST_SUBJECT or "\0" in claims["sub"]:
        raise NotTrusted("the ID token names nobody")
    return claims


def identity_of(claims: dict[str, Any], settings: OidcSettings) -> Identity:
    """Who it is, whose e-mail address the provider has verified and whose domain is allowed.

    Raises:
        NotTrusted: it has not, or it is not.
    """
    email = claims.get("email")
    if not isinstance(email, str) or "@" not in email or "\0" in email:
        raise NotTrusted("the provider says no e-mail address")
    verified = claims.get("email_verified")
    if verified is not True and verified != "true":  # as text by some
        raise NotTrusted("the provider has not verified the e-mail address")
    if settings.domains and email.rpartition("@")[2].lower() not in settings.domains:
        raise NotTrusted("the e-mail address is of a domain that is not allowed")
    return Identity(subject=claims["sub"], email=email)
