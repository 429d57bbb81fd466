"""Finds uploads that nobody is moving though somebody should: a watch over what each had reached when last seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An open upload as one round of the reconciler saw it.

    Attributes:
        reached: Whatever changes while an upload moves; compared only with itself.
        noted: Whether a splitter has noted that it waits.
        holder: Who holds its lease, if that is live.
    """

    upload_id: UUID
    reached: tuple[object, ...]
    noted: bool
    holder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """An upload that has not moved for so many seconds, and who should have moved it."""

    upload_id: UUID
    seconds: float
    why: str


class Watch:
    """Remembers of each open upload what it had reached, and since when."""

    def __init__(self, stuck_seconds: float) -> None:
        self._stuck_seconds = stuck_seconds
        self._seen: dict[UUID, tuple[tuple[object, ...], float]] = {}

    def observe(self, sightings: Iterable[Sighting], now: float) -> list[Stuck]:
        """Which of these have not moved for too long; `now` is a monotonic clock's seconds. Others are forgotten.

        An upload that nobody holds only waits for its turn while splitters move others.
        """
        seen: dict[UUID, tuple[tuple[object, ...], float]] = {}
        still, anything_moves = [], False
        for sighting in sightings:
            reached, since = self._seen.get(sighting.upload_id, (None, now))
            if reached != sighting.reached:
                since = now
            seen[sighting.upload_id] = sighting.reached, since
            if now - since >= self._stuck_seconds:
                still.append((sighting, now - since))
            elif sighting.holder is not None:
                anything_moves = True
        self._seen = seen
        return [
            Stuck(upload_id=sighting.upload_id, seconds=seconds, why=_why(sighting))
            for sighting, seconds in still
            if not (anything_moves and sighting.noted and sighting.holder is None)
        ]


def _why(sighting: Sighting) -> str:
    if not sighting.noted:
        return "no splitter has noted it; see whether splitters run and read the upload events"
    if sighting.holder is None:
        return (
            "no splitter holds its lease; see whether splitters run, wait for a part (/readyz) or have no free slot,"
            " and whether its record type stands still (rowstream doctor)"
        )
    return f"splitter {sighting.holder} holds its lease and nothing moves; see the logs of splitters and processors"
