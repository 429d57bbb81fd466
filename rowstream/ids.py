"""Identifiers: UUIDv7 (RFC 9562), so that ids made later sort later."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then random bits; sorts by the time it was made."""
    return uuid_utils.compat.uuid7()
