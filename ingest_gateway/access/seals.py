"""Texts that only a gateway can read or make: encrypted (JWE, RFC 7516), each with a key derived from the secrets.

Where they lie meanwhile, in a browser or in the database, they say nothing.
"""

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from rowstream.runtime.secrets import Secrets

_HEADER = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS = list(_HEADER.values())


class NotOurs(Exception):
    """A text is no seal of ours, or of another thing, or of secrets that are gone."""


def seal(text: bytes, secrets: Secrets, purpose: str, of: str) -> str:
    """Encrypt a text.

    Args:
        text: what nobody else is to read.
        secrets: those of the gateway.
        purpose: what it is for; one word of the code that asks.
        of: the thing that it belongs to; it opens for no other.
    """
    key = OctKey.import_key(secrets.derive(purpose, of))
    return jwe.encrypt_compact(_HEADER, text, key, algorithms=_ALGORITHMS)


def unseal(sealed: str, secrets: Secrets, purpose: str, of: str) -> bytes:
    """The text that was sealed for the same purpose and thing, with these secrets or those before them.

    Raises:
        NotOurs: it is none.
    """
    for secret in secrets.derived(purpose, of):
        try:
            return jwe.decrypt_compact(sealed, OctKey.import_key(secret), algorithms=_ALGORITHMS).plaintext or b""
        except (JoseError, ValueError, TypeError):
            continue
    raise NotOurs
