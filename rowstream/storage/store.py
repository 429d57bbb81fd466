"""What the services say of stored objects, whatever store holds them."""

from dataclasses import dataclass, field

from rowstream.errors import Poison, Retryable


class StoreUnavailable(Retryable):
    """The store does not answer, or says to try again."""


class ObjectMissing(Poison):
    """There is no such object."""


class ObjectChanged(Poison):
    """The object is not the one that was confirmed: its entity tag differs."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object; `size` in bytes, `etag` without quotes."""

    etag: str
    size: int
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A request that lets its holder store one object: send `fields` with POST, or the bare body with PUT."""

    method: str
    url: str
    fields: dict[str, str] = field(default_factory=dict)
