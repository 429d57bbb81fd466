"""Errors, named by what the caller must do.

Every error that crosses a module's edge is one of three: try again later (`Retryable`), put this one thing aside
and go on (`Poison`), or stop and tell a person (`Fatal`). A message says what happened, to which thing, and what to
do now.
"""


class RowstreamError(Exception):
    """Base of every error that rowstream raises on purpose."""


class Retryable(RowstreamError):
    """The same call may succeed later: a server is away, a lock was not had in time."""


class Poison(RowstreamError):
    """This one message or chunk will never succeed; the others can go on without it."""


class Fatal(RowstreamError):
    """Nothing can go on until a person has changed something: a setting, a declaration, an installation."""
