"""Keys that are never sent: whose they are, and which of their requests were seen already. All times are Postgres's."""

import base64
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, delete, func
from sqlalchemy.dialects.postgresql import insert

from rowstream.database.access_tables import api_keys, request_nonces
from rowstream.database.keys import Holder, holder_in, key_hash, valid
from rowstream.runtime.secrets import Secrets

PREFIX = "rss_"
_PURPOSE = "signed-requests"

WINDOW_SECONDS = 300
"""For how long after its making a signed request is taken."""
AHEAD_SECONDS = 60
"""By how much a signer's clock may be ahead of the database's."""
KEEP_NONCES_SECONDS = 2 * (WINDOW_SECONDS + AHEAD_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A valid key that signs, the hash of its secret, and the database's time in seconds since 1970."""

    holder: Holder
    key_hash: bytes
    now: float


def secret_of(secrets: Secrets, key_id: UUID) -> str:
    """The secret that a new key signs with: the HMAC key is this text's bytes. Stored nowhere, derived when needed."""
    return _as_text(secrets.derive(_PURPOSE, str(key_id)))


def known_secret(secrets: Secrets, signer: Signer) -> str | None:
    """The secret that a key was made with; None if the secrets are not those of which it was derived."""
    derived = map(_as_text, secrets.derived(_PURPOSE, str(signer.holder.id)))
    return next((text for text in derived if key_hash(text) == signer.key_hash), None)


def _as_text(secret: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")


def signer_of(connection: Connection, key_id: UUID) -> Signer | None:
    """The holder of a key that signs; None if it is unknown, expired, revoked, or a key that is sent."""
    now = func.extract("epoch", func.clock_timestamp()).label("now")
    query = valid(api_keys.c.id == key_id, api_keys.c.signed_only).add_columns(api_keys.c.key_hash, now)
    row = connection.execute(query).one_or_none()
    return None if row is None else Signer(holder=holder_in(row), key_hash=row.key_hash, now=float(row.now))


def use_nonce(connection: Connection, key_id: UUID, nonce: str) -> bool:
    """Remember a request of a key by its nonce; False if the key used it before, in any gateway."""
    row = insert(request_nonces).values(key_id=key_id, nonce=nonce).on_conflict_do_nothing()
    return connection.execute(row.returning(request_nonces.c.key_id)).one_or_none() is not None


def forget_nonces(connection: Connection, *, after_seconds: float) -> int:
    """Forget the nonces of requests whose time is over by so many seconds; returns how many."""
    end = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, after_seconds)
    return connection.execute(delete(request_nonces).where(request_nonces.c.seen_at < end)).rowcount
