"""Keys of objects that others name, whichever way the name comes: what no object's key is. Pure.

Stores that keep objects as files take `.`, `..` and empty parts for another place, cannot hold names that are too long,
and answer all of these in words of their own. So they are told apart here, before a store is asked.
"""

import re

_MOST_BYTES = 1_024  # as S3 has it
_LONGEST_PART = 255  # characters, as of a file's name
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def check_key(key: str) -> None:
    """Refuse what no object's key is, or what a client or a server could take for a way to another place.

    Raises:
        ValueError: says which, and how a key is.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError("the key holds half of a character; no object can have it") from None
    if size > _MOST_BYTES:
        raise ValueError(f"the key has more than {_MOST_BYTES} bytes; no object can have it")
    if _CONTROLS.search(key):
        raise ValueError("the key holds NUL or another control character; name the object without")
    parts = key.split("/")
    if {".", ".."} & set(parts):
        raise ValueError("the key has . or .. between its slashes, which names another place; rename the object")
    if is_folder(key):
        raise ValueError("the key ends with a slash, as a folder's does; name the file in it")
    if "" in parts:
        raise ValueError("the key has nothing before or between its slashes; name the object otherwise")
    if max(map(len, parts)) > _LONGEST_PART:
        raise ValueError(f"the key has more than {_LONGEST_PART} characters between its slashes; shorten it")


def is_folder(key: str) -> bool:
    """Whether it is what programs store in place of a folder, which S3 does not have."""
    return key.endswith("/")
