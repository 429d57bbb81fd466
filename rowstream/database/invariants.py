"""The promise, checked: I1 to I3 of every upload, from what is stored alone.

| | |
|---|---|
| I1 | at rest, records in the file = loaded + rejected + held + unprocessed, each row number in exactly one place |
| I2 | one ledger row for each chunk, and it says what its transaction stored |
| I3 | at rest, totals of the audit log = totals of the ledger = the counts in the upload's row |

Rows that were taken out again count as loaded. What one transaction writes holds at any moment and is checked always;
what others add later only of uploads at rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from rowstream.database.connection import make_engine, retryable_errors
from rowstream.database.invariant_facts import Counts, Facts, Stray, gather


@dataclass(frozen=True)
class Violation:
    """One thing that must not be: which invariant, of which upload, and what differs."""

    invariant: str
    upload_id: UUID
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} upload {self.upload_id}: {self.what}"


def check(database_url: str) -> list[Violation]:
    """Every violation in the database, by upload; takes some seconds for a million records.

    The login must see every table, as the one that migrated does.

    Raises:
        Retryable: the database does not answer.
    """
    engine = make_engine(database_url, service="doctor", pool_size=1)
    try:
        with retryable_errors(), engine.connect() as connection:
            facts, strays = gather(connection)
    finally:
        engine.dispose()
    found = [_of_stray(stray) for stray in strays]
    for one in facts:
        found += violations(one)
    return found


def violations(facts: Facts) -> list[Violation]:
    """What is wrong with one upload; pure."""
    found = [("I2", what) for what in _ledger_is_crooked(facts)]
    found += [("I1", what) for what in _places_differ_from_ledger(facts)]
    if is_at_rest(facts):
        found += [("I1", what) for what in _records_without_outcome(facts)]
        found += [("I2", what) for what in _chunks_without_ledger_row(facts)]
        found += [("I3", what) for what in _totals_differ(facts)]
    return [Violation(invariant, facts.upload_id, what) for invariant, what in found]


def is_at_rest(facts: Facts) -> bool:
    """Whether nothing will be added to an upload any more."""
    if facts.status in ("completed", "needs_review"):
        return True
    if facts.status not in ("failed", "cancelled"):
        return False
    was_closed_early = facts.cut_short or facts.status == "cancelled"
    return facts.closed or not facts.noted or not was_closed_early


def _ledger_is_crooked(facts: Facts) -> Iterator[str]:
    if facts.crooked:
        yield f"{facts.crooked} ledger rows do not add up to their records"
    if facts.misplaced:
        yield f"{facts.misplaced} ledger rows are not of the lane and place that their chunk number says"
    if facts.unexplained:
        yield f"{facts.unexplained} unprocessed chunks have no dead letter of their attempt"
    for lane in facts.broken_lanes:
        yield f"lane {lane.lane} waits for chunk {lane.next_seq} of its own but has {lane.chunks} in the ledger"


def _places_differ_from_ledger(facts: Facts) -> Iterator[str]:
    placed, ledger = facts.placed, facts.ledger
    rows = "rows are loaded or were taken out again" if facts.undone else "rows are loaded"
    for what, found, said in (
        (rows, placed.succeeded + facts.undone, ledger.succeeded),
        ("rejections are stored", placed.failed, ledger.failed),
        ("records are held", placed.held, ledger.held),
    ):
        if found != said:
            yield f"{found} {what}, the ledger says {said}"
    if placed.codes != ledger.codes:
        yield f"rejections by code are {_told(placed.codes)}, the ledger says {_told(ledger.codes)}"
    if facts.repeated_rows:
        yield f"row numbers have more than one place, among them {', '.join(map(str, facts.repeated_rows))}"
    if facts.rows and facts.ledger_rows:
        (first, last), (ledger_first, ledger_last) = facts.rows, facts.ledger_rows
        if first < ledger_first or last > ledger_last:
            yield f"rows {first} to {last} are stored, the ledger speaks of rows {ledger_first} to {ledger_last}"


def _records_without_outcome(facts: Facts) -> Iterator[str]:
    if not facts.noted and facts.total_records is None:
        return  # failed before a splitter saw it: no records
    placed, total = facts.placed, facts.total_records
    loaded = placed.succeeded + facts.undone
    outcomes = placed.records + facts.undone + facts.columns.unprocessed
    if total != outcomes:
        yield (
            f"{total} records, but {loaded} loaded + {placed.failed} rejected + {placed.held} held +"
            f" {facts.columns.unprocessed} unprocessed = {outcomes}"
        )
    # A splitter may read on for a moment after its upload was closed; what it says then is not counted.
    if not facts.closed and facts.split_records is not None and total != facts.split_records:
        yield f"{total} records, but the splitter found {facts.split_records}"


def _chunks_without_ledger_row(facts: Facts) -> Iterator[str]:
    if not facts.closed and facts.noted and facts.ledger.chunks != facts.split_chunks:
        yield f"{facts.ledger.chunks} chunks have a ledger row, the splitter made {facts.split_chunks}"


def _totals_differ(facts: Facts) -> Iterator[str]:
    ledger, columns = facts.ledger, facts.columns
    yield from _differences("the audit log", facts.audit, "the ledger", ledger, ("chunks", "unprocessed"))
    yield from _differences("the upload's row", columns, "the ledger", ledger, ())
    without_chunk = (facts.total_records or 0) - ledger.records if facts.closed else 0
    if columns.unprocessed != ledger.unprocessed + without_chunk:
        yield (
            f"the upload's row has {columns.unprocessed} unprocessed, the ledger {ledger.unprocessed}, and"
            f" {without_chunk} records never came into a chunk's outcome"
        )
    processed = columns.succeeded + columns.failed + columns.held
    if facts.processed_records != processed:
        yield f"the upload's row has {facts.processed_records} processed, but its outcomes add up to {processed}"


def _differences(one_place: str, one: Counts, other_place: str, other: Counts, more: tuple[str, ...]) -> Iterator[str]:
    for name in ("succeeded", "failed", "held", *more):
        here, there = getattr(one, name), getattr(other, name)
        if here != there:
            yield f"{one_place} has {here} {name}, {other_place} {there}"
    if one.codes != other.codes:
        yield f"{one_place} has {_told(one.codes)} by code, {other_place} {_told(other.codes)}"


def _of_stray(stray: Stray) -> Violation:
    what = f"{stray.records} records of organization {stray.organization_id} name it, which is no upload of theirs"
    return Violation("I1", stray.upload_id, what)


def _told(codes: dict[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in sorted(codes.items())) or "none"
