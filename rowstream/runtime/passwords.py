"""How a password is kept: as its argon2id hash (RFC 9106), with the parameters that OWASP recommends.

A hash takes 19 MiB and some hundredths of a second of one core, on purpose; whoever makes many bounds how many at once.
"""

import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST, MOST = 12, 256
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Unfit(ValueError):
    """Nobody's password can be this; the message says why."""


def hash_password(password: str) -> str:
    """The hash of a new password, with a salt of its own.

    Raises:
        Unfit: it is shorter than 12 characters or longer than 256, or holds what is no text.
    """
    wanted = canonical(password)
    if not LEAST <= len(wanted) <= MOST:
        raise Unfit(f"a password has {LEAST} to {MOST} characters; several words make a good one")
    try:
        return _HASHER.hash(wanted)
    except UnicodeEncodeError:
        raise Unfit("a password is made of characters; this one has half of a surrogate pair") from None


def is_right(password_hash: str, password: str) -> bool:
    """Whether this is the password; False too for a hash that cannot be read."""
    wanted = canonical(password)
    if len(wanted) > MOST:
        return False
    try:
        return _HASHER.verify(password_hash, wanted)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Whether a hash that was right was made with other parameters than those of today."""
    return _HASHER.check_needs_rehash(password_hash)


def random_password() -> str:
    """A password that nobody can guess: 144 bits, as 24 letters, digits, - and _."""
    return secrets.token_urlsafe(18)


def canonical(password: str) -> str:
    """A password as it is hashed: composed (NFC), since keyboards differ in how they make an accented letter."""
    return unicodedata.normalize("NFC", password)
