"""Access tokens: JWTs (RFC 7519, RFC 9068) that say who somebody is, for which organization, in which session.

What they may do is not in them: it is looked up at each request. Pure functions; the clock is handed in. Only our own
tokens are read, so whatever differs from how we write them is refused: another algorithm, a header member more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from joserfc import jwt
from joserfc.errors import InvalidClaimError, JoseError
from joserfc.jwk import GuestProtocol, OKPKey
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from ingest_gateway.access.settings import AccessSettings
from rowstream.database.sessions import Session
from rowstream.ids import new_id
from rowstream.runtime.secrets import ALGORITHM, Secrets

TYPE = "at+jwt"
LEEWAY_SECONDS = 5
CLOCKS_APART_SECONDS = 300
_LONGEST = 2_048
_HEADER = frozenset({"alg", "kid", "typ"})


class NotValid(Exception):
    """It is no access token of ours that is valid now; the reason is for the log, not for whoever sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says; `issued_at` is to the microsecond, by the database's clock."""

    session: Session
    issued_at: datetime


def issue(secrets: Secrets, settings: AccessSettings, session: Session, at: datetime) -> str:
    """An access token of a session, made `at` this time of the database."""
    key = secrets.signing[0]
    header = {"alg": ALGORITHM, "kid": key.thumbprint(), "typ": TYPE}
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": str(session.user_id),
        "org": str(session.organization_id),
        "sid": str(session.id),
        "iat": at.timestamp(),
        "exp": at.timestamp() + settings.access_token_seconds,
        "jti": str(new_id()),
    }
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM])


def verify(token: str, secrets: Secrets, settings: AccessSettings, now: float) -> Claims:
    """What a token says, which is one of ours and valid.

    Args:
        token: as it was sent.
        secrets: the keys, each of which may have signed it.
        settings: for whom and by whom it must be.
        now: seconds since 1970.

    Raises:
        NotValid: it is not.
    """
    if len(token) > _LONGEST:
        raise NotValid("it is too long")

    def named(message: GuestProtocol) -> OKPKey:
        wanted = message.headers().get("kid")
        for key in secrets.signing:
            if key.thumbprint() == wanted:
                return key
        raise NotValid("it is signed with a key that is unknown here")

    try:
        found = jwt.decode(token, named, algorithms=[ALGORITHM])
        if found.header.keys() != _HEADER or found.header["typ"] != TYPE:
            raise NotValid("its header is none of ours")
        _registry(settings, now).validate(found.claims)
        claims = found.claims
        session = Session(id=UUID(claims["sid"]), user_id=UUID(claims["sub"]), organization_id=UUID(claims["org"]))
        return Claims(session=session, issued_at=datetime.fromtimestamp(claims["iat"], UTC))
    except JoseError as error:
        raise NotValid(error.error) from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NotValid("it cannot be read") from None


class _Registry(JWTClaimsRegistry):
    """As the library judges, but for when a token was made: by the database's clock, which ours may trail."""

    def validate_iat(self, value: object) -> None:
        """A moment that has come, by clocks that are as far apart as they may be."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value > self.now + CLOCKS_APART_SECONDS:
            raise InvalidClaimError("iat")


def _registry(settings: AccessSettings, now: float) -> JWTClaimsRegistry:
    needed: dict[str, ClaimsOption] = {name: {"essential": True} for name in ("sub", "org", "sid", "iat", "exp", "jti")}
    return _Registry(
        now=int(now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.audience},
        **needed,
    )
