"""Outcomes add up to the same totals in whatever order, batches and repetitions they come."""

from hypothesis import given
from hypothesis import strategies as st

from auditor.totals import Outcome, Totals, difference, effective

counts = st.integers(0, 5)
totals = st.builds(
    Totals,
    succeeded=counts,
    failed=counts,
    held=counts,
    unprocessed=counts,
    errors_by_code=st.dictionaries(st.sampled_from(["VAL_001", "VAL_002", "DUP_001"]), st.integers(1, 5)),
)
# What an attempt made of a chunk never changes, so one (chunk, attempt) has one outcome.
told = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(1, 3)), totals, max_size=12).map(
    lambda told: [Outcome(chunk_number=chunk, attempt=attempt, totals=one) for (chunk, attempt), one in told.items()]
)


def fold(batches: list[list[Outcome]]) -> Totals:
    """What the auditor does, with a set in place of the audit log."""
    log: dict[tuple[int, int], Outcome] = {}
    total = Totals()
    for batch in batches:
        added = {(one.chunk_number, one.attempt): one for one in batch}
        added = {key: one for key, one in added.items() if key not in log}
        chunks = {chunk for chunk, _ in added}
        before = [one for one in log.values() if one.chunk_number in chunks]
        total += difference(before, added.values())
        log |= added
    return total


@given(told, st.data())
def test_any_order_and_repetition_folds_to_the_same_totals(outcomes: list[Outcome], data: st.DataObject) -> None:
    repeated = outcomes + data.draw(st.lists(st.sampled_from(outcomes), max_size=10) if outcomes else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    batches = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    assert fold(batches) == effective(outcomes)


def test_a_chunk_counts_by_its_highest_attempt() -> None:
    unprocessed = Outcome(chunk_number=7, attempt=1, totals=Totals(unprocessed=10))
    redone = Outcome(chunk_number=7, attempt=2, totals=Totals(succeeded=8, failed=2, errors_by_code={"VAL_001": 2}))
    assert effective([redone, unprocessed]) == redone.totals
    assert difference([unprocessed], [redone]) == redone.totals - unprocessed.totals
    assert difference([redone], [unprocessed]) == Totals()


def test_a_code_without_rejections_is_not_listed() -> None:
    assert (Totals(errors_by_code={"VAL_001": 2}) - Totals(errors_by_code={"VAL_001": 2})).errors_by_code == {}


def test_processed_records_have_an_outcome_of_their_own_and_counted_ones_any() -> None:
    total = Totals(succeeded=1, failed=2, held=4, unprocessed=8)
    assert (total.processed, total.counted) == (7, 15)
