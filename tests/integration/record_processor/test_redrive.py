"""What was given up on is worked when a later attempt sends it again: exactly, and beside what was loaded before."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from record_processor.batch import ChunkInHand, read
from record_processor.failure import Failure, unreadable
from record_processor.process import Processor
from record_processor.recover import settle
from rowstream.database.invariants import check
from rowstream.messages.record_chunk import RecordChunk
from tests.integration.record_processor.test_process import NoSchemas, noted
from tests.uploads import MEMBERS, Uploads, chunks_of, csv_of, member, received

NUMBERS = [1, 2, 1, 3, 2, 4, 3, 5]  # rows 2 to 9, two a chunk
WHY = Failure("UNK_002", "tests", 3)


def hands(chunks: Sequence[RecordChunk]) -> list[ChunkInHand]:
    return [read(received(chunk), NoSchemas()) for chunk in chunks]


def sent(upload: UUID, attempt: int) -> list[RecordChunk]:
    return chunks_of(csv_of(member(number) for number in NUMBERS), upload, chunk_records=2, attempt=attempt)


def never(reason: str, _: float) -> None:
    raise AssertionError(f"nothing is to be waited for here: {reason}")


def letters(uploads: Uploads) -> list[Any]:
    return [
        (row.chunk_number, row.attempt)
        for row in uploads.execute("SELECT * FROM dead_letters ORDER BY chunk_number, attempt")
    ]


@pytest.fixture
def upload(uploads: Uploads, processor: Processor) -> UUID:
    """Its chunks 0 and 2 were given up on in the first attempt; of the second all chunks may come."""
    upload = noted(uploads)
    for place, hand in enumerate(hands(sent(upload, 1))):
        if place in (0, 2):
            processor.give_up(hand, WHY)
        else:
            settle(processor, [hand], MEMBERS, pause=never)
    assert uploads.settled(upload) == {0: 4}
    assert sorted(uploads.loaded(upload)) == [4, 5, 9]
    uploads.change(upload, attempt=2)
    return upload


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
def test_only_what_has_no_outcome_is_loaded(
    uploads: Uploads, processor: Processor, upload: UUID, database_url: str, *, together: bool
) -> None:
    again = hands(sent(upload, 2))
    results = []
    for group in [again] if together else [[hand] for hand in again]:
        results += settle(processor, group, MEMBERS, pause=never).results
    assert sorted(uploads.loaded(upload)) == [3, 4, 5, 7, 9]
    # Who was accepted first stays, though a later attempt comes to an earlier row.
    assert uploads.codes(upload) == {2: "DUP_001", 6: "DUP_001", 8: "DUP_001"}
    assert "came first in row 4" in uploads.rejected(upload)[2].error_message
    assert "came first in row 3" in uploads.rejected(upload)[6].error_message
    assert [(row.outcome, row.attempt) for row in uploads.ledger(upload)] == [
        ("loaded", 2), ("loaded", 1), ("loaded", 2), ("loaded", 1),
    ]  # fmt: skip
    assert uploads.settled(upload) == {0: 4}
    assert sorted((result.chunk_number, result.attempt) for result in results) == [(0, 2), (1, 1), (2, 2), (3, 1)]
    assert letters(uploads) == [(0, 1), (2, 1)]
    assert check(database_url) == []


def test_it_may_be_given_up_on_again_and_redriven_again(
    uploads: Uploads, processor: Processor, upload: UUID, database_url: str
) -> None:
    first = hands(sent(upload, 2))[0]
    for _ in range(2):  # delivered twice
        (result,) = processor.give_up(first, unreadable("?")).results
        assert (result.attempt, result.outcome) == (2, "unprocessed")
    assert letters(uploads) == [(0, 1), (0, 2), (2, 1)]
    assert uploads.settled(upload) == {0: 4}
    uploads.change(upload, attempt=3)
    settle(processor, hands(sent(upload, 3)), MEMBERS, pause=never)
    assert {row.outcome for row in uploads.ledger(upload)} == {"loaded"}
    assert letters(uploads) == [(0, 1), (0, 2), (2, 1)]
    assert check(database_url) == []


def test_a_late_message_of_the_former_attempt_changes_nothing(
    uploads: Uploads, processor: Processor, upload: UUID
) -> None:
    settled = settle(processor, hands(sent(upload, 1)), MEMBERS, pause=never)
    assert settled.results == []
    assert [row.outcome for row in uploads.ledger(upload)] == ["unprocessed", "loaded", "unprocessed", "loaded"]


def test_tries_of_a_former_attempt_do_not_count(uploads: Uploads, processor: Processor, upload: UUID) -> None:
    (hand, *_) = hands(sent(upload, 2))
    uploads.execute(
        "INSERT INTO chunk_attempts (organization_id, batch_upload_id, chunk_number, attempt, tries)"
        " SELECT organization_id, id, 0, 1, 3 FROM batch_uploads WHERE id = :id",
        id=upload,
    )
    tries = processor.attempts.begin(hand)
    assert tries
    assert (tries.before, tries.settled) == (0, False)
    processor.process_alone(hand, MEMBERS)
    assert uploads.execute("SELECT * FROM chunk_attempts") == []
    after = processor.attempts.begin(hand)
    assert after
    assert after.settled
    assert uploads.execute("SELECT * FROM chunk_attempts") == []
