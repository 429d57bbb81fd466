"""How a password is kept: as its argon2id hash (RFC 9106), with the parameters that OWASP recommends.

A hash takes 19 MiB and some hundredths of a second of one core, on purpose; whoever makes many bounds how many at once.
"""

import secrets
import unicodedata
from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST, MOST = 12, 256
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


_FEWEST_CHARACTERS = 5
_RUN = 4
_REST = 7
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "1q2w3e4r5t6y7u8i9o0p",
)
_WELL_KNOWN = (
    *("password", "passwort", "passphrase", "secret", "welcome", "letmein", "changeme", "default", "master", "login"),
    *("administrator", "admin", "root", "owner", "user", "guest", "test", "rowstream", "iloveyou", "monkey", "dragon"),
    *("football", "baseball", "superman", "batman", "sunshine", "princess", "trustno", "starwars", "computer"),
)
_AS_LETTERS = str.maketrans("0413$@!", "oaiesai")


class Unfit(ValueError):
    """Nobody's password can be this; the message says why."""


def hash_password(password: str, *, about: Iterable[str] = ()) -> str:
    """The hash of a new password, with a salt of its own.

    Args:
        password: as it was typed.
        about: what others know of whose it is to be, such as their e-mail address.

    Raises:
        Unfit: it is shorter than 12 characters or longer than 256, easy to guess, or holds what is no text.
    """
    wanted = canonical(password)
    if not LEAST <= len(wanted) <= MOST:
        raise Unfit(f"a password has {LEAST} to {MOST} characters; several words make a good one")
    if is_easy(wanted, about):
        raise Unfit("this password is easy to guess; several words that nobody puts together make a good one")
    try:
        return _HASHER.hash(wanted)
    except UnicodeEncodeError:
        raise Unfit("a password is made of characters; this one has half of a surrogate pair") from None


def is_easy(password: str, about: Iterable[str] = ()) -> bool:
    """Whether a password is one of those that are tried first; pure.

    That is one of hardly any different characters, and one of which hardly anything is left without the words that
    everybody takes, rows of keys, and what is known of whose it is.
    """
    small = password.lower()
    if len(set(small)) < _FEWEST_CHARACTERS:
        return True
    names = {name.lower() for given in about for name in (given, given.partition("@")[0]) if len(name) >= _RUN}
    words = sorted({*_WELL_KNOWN, *names}, key=len, reverse=True)
    return min(len(_rest(spelled, words)) for spelled in (small, small.translate(_AS_LETTERS))) < _REST


def _rest(text: str, words: Iterable[str]) -> str:
    """What is left without words and rows of keys, and without what is said again."""
    for word in words:
        text = text.replace(word, "")
    kept: list[str] = []
    while text:
        run = next((n for n in range(len(text), _RUN - 1, -1) if _is_row(text[:n])), 0)
        if not run:
            kept.append(text[0])
        text = text[run or 1 :]
    left = "".join(kept)
    return next((left[:n] for n in range(1, len(left)) if left == (left[:n] * len(left))[: len(left)]), left)


def _is_row(text: str) -> bool:
    return any(text in row or text in row[::-1] for row in _ROWS)


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
