"""What the outcomes of chunks add up to, in whatever order and however often they are told.

The outcome of a chunk is told once or several times (a topic delivers at least once), and it may be replaced: a chunk
that stayed unprocessed is worked again by a later attempt at its upload. So a chunk counts by its highest attempt
alone, and what a new outcome adds to the totals is the difference between what the chunk counts for with it and
without. Adding differences, each outcome once, comes to the same in every order. All of this is pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Records by what became of them, and rejections by error code."""

    succeeded: int = 0
    failed: int = 0
    held: int = 0
    unprocessed: int = 0
    errors_by_code: Counts = field(default_factory=dict)

    @property
    def processed(self) -> int:
        """Records that have an outcome of their own: loaded, rejected or held."""
        return self.succeeded + self.failed + self.held

    @property
    def counted(self) -> int:
        """Records of all chunks whose outcome is known, the unprocessed included."""
        return self.processed + self.unprocessed

    def __add__(self, other: "Totals") -> "Totals":
        return self._combined(other, 1)

    def __sub__(self, other: "Totals") -> "Totals":
        return self._combined(other, -1)

    def _combined(self, other: "Totals", sign: int) -> "Totals":
        return Totals(
            succeeded=self.succeeded + sign * other.succeeded,
            failed=self.failed + sign * other.failed,
            held=self.held + sign * other.held,
            unprocessed=self.unprocessed + sign * other.unprocessed,
            errors_by_code=_merged(self.errors_by_code, other.errors_by_code, sign),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt made of one chunk."""

    chunk_number: int
    attempt: int
    totals: Totals


def effective(outcomes: Iterable[Outcome]) -> Totals:
    """What these outcomes add up to: each chunk counts by its highest attempt."""
    latest: dict[int, Outcome] = {}
    for outcome in outcomes:
        known = latest.get(outcome.chunk_number)
        if known is None or known.attempt < outcome.attempt:
            latest[outcome.chunk_number] = outcome
    total = Totals()
    for outcome in latest.values():
        total += outcome.totals
    return total


def difference(before: Iterable[Outcome], added: Iterable[Outcome]) -> Totals:
    """What `added` adds to the totals, where `before` are all earlier outcomes of the same chunks."""
    known = list(before)
    return effective([*known, *added]) - effective(known)


def _merged(ours: Counts, theirs: Counts, sign: int) -> dict[str, int]:
    merged = {code: ours.get(code, 0) + sign * theirs.get(code, 0) for code in sorted({*ours, *theirs})}
    return {code: count for code, count in merged.items() if count}
