"""Keeps what was given up on, and why, for a person who may redrive it."""

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from record_processor.failure import Failure
from rowstream.database.tables import dead_letters
from rowstream.ids import new_id
from rowstream.messages.chunk_result import ChunkResult


def keep(connection: Connection, result: ChunkResult, failure: Failure) -> None:
    """Write the dead letter of a chunk whose outcome is `unprocessed`; one for each of its attempts."""
    statement = insert(dead_letters).values(
        id=new_id(),
        organization_id=result.organization_id,
        batch_upload_id=result.upload_id,
        chunk_number=result.chunk_number,
        attempt=result.attempt,
        error_code=failure.code,
        reason=failure.reason,
        tries=failure.tries,
        records=result.records,
        first_row=result.first_row,
        last_row=result.last_row,
    )
    connection.execute(statement.on_conflict_do_nothing())
