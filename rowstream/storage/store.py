"""What the services say of stored objects, whatever store holds them."""

from dataclasses import dataclass, field

from rowstream.errors import Poison, Retryable


class StoreUnavailable(Retryable):
    """The store does not answer, or says to try again."""


class RequestRefused(Poison):
    """The store says that what was asked of it is wrong in itself: a key or a bucket that nothing can have."""


class ObjectMissing(Poison):
    """There is no such object."""


class ObjectChanged(Poison):
    """The object is not the one that was confirmed: its entity tag differs."""


class PartsGone(Poison):
    """No parts of this object are being sent (any more): they were put together or dropped."""


class PartsRefused(Poison):
    """The store does not put an object together from these parts."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An object that is being sent in parts; `id` is the store's name of that."""

    bucket: str
    key: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that is there; the first has the number 1, `size` in bytes, `etag` without quotes."""

    number: int
    size: int
    etag: str
