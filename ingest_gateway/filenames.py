"""Names of files: shown to people, never used as a path."""

import unicodedata

_LONGEST_FILENAME = 255
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_filename(name: str) -> str:
    """The name to show: the last part of a path, without control and direction-changing characters and outer space.

    Raises:
        ValueError: nothing is left of it, or it is too long.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = (char for char in last if unicodedata.category(char) not in {"Cc", "Cs"} and char not in _BIDI_CONTROLS)
    clean = "".join(kept).strip()
    if not clean:
        raise ValueError("a name for the file is needed, such as members.csv")
    if len(clean) > _LONGEST_FILENAME:
        raise ValueError(f"the name is longer than {_LONGEST_FILENAME} characters; shorten it")
    return clean
