"""Who does something: an actor, for an organization, by one of the ways in, from an address."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who acts: a key, a user, or a system that was set up to (`kind`); `id` is that key's or user's."""

    kind: str
    id: UUID | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doer:
    """An actor at work.

    Attributes:
        organization_id: For whom.
        actor: Who.
        way: How they came: ui, api, ftp, s3_event, kafka (an upload's source type), or command.
        address: From where, as far as trusted proxies say; None where there is none.
        correlation_id: Of the request or the event.
    """

    organization_id: UUID
    actor: Actor
    way: str
    address: str | None
    correlation_id: str


def system(organization_id: UUID, name: str, *, way: str, correlation_id: str, address: str | None = None) -> Doer:
    """A system that was set up to hand in files, or rowstream itself."""
    actor = Actor(kind="system", id=None, name=name)
    return Doer(organization_id=organization_id, actor=actor, way=way, address=address, correlation_id=correlation_id)
