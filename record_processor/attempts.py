"""Counts the tries of a chunk that is worked alone, before each: so one that kills its worker is found out."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from record_processor.batch import ChunkInHand
from rowstream.database.tables import batch_uploads, chunk_attempts, processed_chunks

MOST_TRIES = 3
_COUNTS = chunk_attempts.c


@dataclass(frozen=True)
class Tries:
    """How often a chunk was tried before.

    Attributes:
        before: Tries so far, without the one that begins now.
        last_error: What the last of them ended with; None if there was none, or if nobody could say.
        settled: The chunk has its outcome already, so that no try was counted, and none is to be made.
    """

    before: int = 0
    last_error: str | None = None
    settled: bool = False


class Attempts:
    """The tries of all chunks, in `chunk_attempts`; a chunk's go when it settles (`ledger.record`)."""

    def __init__(self, engine: Engine, *, most: int = MOST_TRIES) -> None:
        """`most` tries a chunk has before it is given up on."""
        self._engine, self.most = engine, most

    def begin(self, hand: ChunkInHand) -> Tries | None:
        """Count one more try, unless the chunk has had all of them, or has its outcome.

        Returns:
            The tries before it; None for a chunk of no upload of its organization, of which nothing is noted.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        chunk = hand.chunk
        ours = select(batch_uploads.c.id).where(
            batch_uploads.c.id == chunk.upload_id, batch_uploads.c.organization_id == chunk.organization_id
        )
        with self._engine.begin() as connection:
            if connection.execute(ours).one_or_none() is None:
                return None
            if connection.execute(_outcome_of(hand)).one_or_none():
                return Tries(settled=True)
            row = connection.execute(select(_COUNTS.tries, _COUNTS.last_error).where(*_of(hand))).one_or_none()
            before = Tries(row.tries, row.last_error) if row else Tries()
            if before.before < self.most:
                key = {
                    "organization_id": chunk.organization_id,
                    "batch_upload_id": chunk.upload_id,
                    "chunk_number": chunk.chunk_number,
                    "attempt": chunk.attempt,
                }
                count = insert(chunk_attempts).values(**key, tries=1)
                again = {"tries": _COUNTS.tries + 1, "last_error": None, "tried_at": count.excluded.tried_at}
                keys = [_COUNTS.batch_upload_id, _COUNTS.chunk_number, _COUNTS.attempt]
                connection.execute(count.on_conflict_do_update(index_elements=keys, set_=again))
        return before

    def take_back(self, hand: ChunkInHand, tries: Tries) -> None:
        """Count the try that followed these no more: its chunk was dropped, and is to come again.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        before = update(chunk_attempts).values(tries=tries.before, last_error=tries.last_error)
        with self._engine.begin() as connection:
            connection.execute((before if tries.before else delete(chunk_attempts)).where(*_of(hand)))

    def note(self, hand: ChunkInHand, error: str) -> None:
        """Write down how the try ended: its error code, a space, and the reason, in which no cell may be.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        with self._engine.begin() as connection:
            connection.execute(update(chunk_attempts).where(*_of(hand)).values(last_error=error))


def _outcome_of(hand: ChunkInHand) -> Select[tuple[int]]:
    ledger = processed_chunks.c
    return select(ledger.attempt).where(
        ledger.batch_upload_id == hand.chunk.upload_id,
        ledger.chunk_number == hand.chunk.chunk_number,
        (ledger.outcome == "loaded") | (ledger.attempt >= hand.chunk.attempt),
    )


def _of(hand: ChunkInHand) -> tuple[ColumnElement[bool], ...]:
    chunk = hand.chunk
    return (
        _COUNTS.batch_upload_id == chunk.upload_id,
        _COUNTS.chunk_number == chunk.chunk_number,
        _COUNTS.attempt == chunk.attempt,
    )
