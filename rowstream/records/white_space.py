"""White space as Unicode's property White_Space has it, exactly, for Python and for Polars.

Neither has it by itself: `str.strip` also takes the separators U+001C to U+001F, which White_Space leaves out.
"""

from typing import Final

import polars as pl

WHITE_SPACE: Final = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""All 25 characters of the property (Unicode 16, unchanged since 6.3)."""


def strip(text: str) -> str:
    """The text without white space around it."""
    return text.strip(WHITE_SPACE)


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether a text is nothing but white space (the empty text is); null where the text is null."""
    return text.str.strip_chars_start(WHITE_SPACE) == ""


def is_surely_text(text: pl.Expr) -> pl.Expr:
    r"""A cheap sufficient condition for a text that is not blank: it starts with a visible ASCII character.

    Two comparisons with a short text cost a quarter of looking for white space, and nearly every cell of a real file
    starts with a letter or a digit. Null where the text is null.
    """
    return (text >= "!") & (text < "\x7f")
