"""What a column's header may look like, and names for headers that say nothing or say the same."""

from collections.abc import Iterable

from rowstream.records.white_space import strip

_IGNORED = str.maketrans("", "", " -_")


def spelling(header: str) -> str:
    """The form in which two headers mean the same: no case, outer white space, spaces, hyphens or underscores."""
    return strip(header).casefold().translate(_IGNORED)


def distinct(headers: Iterable[str]) -> tuple[str, ...]:
    """The headers, each once: an empty one becomes `column N`, a repeated one gets ` (2)`, ` (3)` and so on.

    A rejected record is stored by header, and no cell may hide another one.
    """
    names: dict[str, None] = {}
    for position, header in enumerate(headers, start=1):
        base = name = header or f"column {position}"
        count = 1
        while name in names:
            count += 1
            name = f"{base} ({count})"
        names[name] = None
    return tuple(names)
