"""Plays the other services for the auditor: writes what they would write, and reads what the auditor made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import dataframely as dy
import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from auditor import projection
from auditor.projection import Folded
from rowstream.database.connection import AUDITOR_ROLE
from rowstream.database.keys import DEFAULT_ORGANIZATION
from rowstream.database.record_tables import bring_up_to_date
from rowstream.database.tables import (
    batch_upload_audit_logs,
    batch_upload_errors,
    batch_uploads,
    dead_letters,
    outbox,
    processed_chunks,
    upload_control,
    upload_lanes,
    upload_splits,
)
from rowstream.ids import new_id
from rowstream.messages.chunk_result import ChunkResult
from rowstream.records import RecordType
from tests.engines import engine_of

RECORD_TYPE = "thing"
RECORDS = 10  # in each chunk


class _Thing(dy.Schema):
    name = dy.String(nullable=False)


THING = RecordType(name=RECORD_TYPE, version=1, title="Thing", table="things", schema=_Thing, key=("name",))


@dataclass(frozen=True)
class Scene:
    """One migrated database; `engine` acts as the auditor, `owner` may do everything."""

    engine: Engine
    owner: Engine

    def accept(self, *, status: str = "pending", seconds_ago: float = 0.0, organization: UUID | None = None) -> UUID:
        """The gateway accepted an upload."""
        upload_id = new_id()
        with self.owner.begin() as connection:
            connection.execute(
                sqlalchemy.insert(batch_uploads).values(
                    id=upload_id,
                    organization_id=organization or DEFAULT_ORGANIZATION,
                    status=status,
                    source_type="api",
                    source="tests",
                    source_event_id=str(upload_id),
                    correlation_id=f"c-{upload_id}",
                    traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
                    record_type=RECORD_TYPE,
                    filename="a.csv",
                    s3_bucket="b",
                    s3_key="k",
                    etag="e",
                    created_by="tests",
                    accepted_at=text(f"now() - interval '{seconds_ago} s'"),
                )
            )
        return upload_id

    def note(self, upload_id: UUID, *, lanes: int = 2, **facts: Any) -> None:
        """A splitter noted the upload, planned it and holds its lease."""
        owned = {"organization_id": self._organization(upload_id), "batch_upload_id": upload_id}
        with self.owner.begin() as connection:
            lease = {"epoch": 1, "holder": "host/1", "lease_until": text("now() + interval '1 hour'")}
            row = {**owned, "attempt": 1, "record_type": RECORD_TYPE, **lease, **facts}
            connection.execute(sqlalchemy.insert(upload_splits).values(row))
            for lane in range(lanes):
                connection.execute(sqlalchemy.insert(upload_lanes).values(**owned, lane=lane))

    def split(self, upload_id: UUID, *, chunks: int, seconds_ago: float = 0.0) -> None:
        """The splitter read the file to its end."""
        self._update_split(
            upload_id,
            chunks=chunks,
            records=chunks * RECORDS,
            records_split=chunks * RECORDS,
            split_at=text(f"now() - interval '{seconds_ago} s'"),
        )

    def fail(self, upload_id: UUID, *, records_split: int = 0, seconds_ago: float = 0.0) -> None:
        """The splitter failed the upload."""
        self._update_split(
            upload_id,
            failure_code="S3_001",
            failure_message="the store is gone",
            records_split=records_split,
            holder=None,
            closed_at=text(f"now() - interval '{seconds_ago} s'"),
        )

    def ask(self, upload_id: UUID, requested: str, *, undo: bool = False, seconds_ago: float = 0.0) -> None:
        """The gateway noted what is asked of the upload."""
        said = {"requested": requested, "undo": undo, "requested_at": text(f"now() - interval '{seconds_ago} s'")}
        owner = {"organization_id": self._organization(upload_id), "batch_upload_id": upload_id}
        row = insert_or_update(upload_control).values(**owner, **said, requested_by="tests")
        with self.owner.begin() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["batch_upload_id"], set_=said))

    def retry(self, upload_id: UUID, *, seconds_ago: float = 0.0) -> None:
        """The gateway began the next attempt at a failed upload."""
        self.ask(upload_id, "run", seconds_ago=seconds_ago)
        self.execute(
            "UPDATE batch_uploads SET status = 'pending', attempt = attempt + 1, version = version + 1,"
            " failure_code = NULL, failure_message = NULL, completed_at = NULL WHERE id = :id AND status = 'failed'",
            id=upload_id,
        )

    def note_again(self, upload_id: UUID, attempt: int) -> None:
        """The splitter began the upload anew, for a further attempt."""
        nothing = dict.fromkeys(("failure_code", "failure_message", "closed_at", "split_at", "chunks", "records"))
        self._update_split(upload_id, attempt=attempt, **nothing)

    def result(self, upload_id: UUID, chunk: int, *, lanes: int = 2, failed: int = 1, **facts: Any) -> ChunkResult:
        """What a processor would say of a chunk: one rejection, the rest loaded."""
        told = ChunkResult(
            upload_id=upload_id,
            organization_id=self._organization(upload_id),
            attempt=1,
            chunk_number=chunk,
            lane=chunk % lanes,
            lane_seq=chunk // lanes,
            first_row=2 + chunk * RECORDS,
            last_row=1 + (chunk + 1) * RECORDS,
            records=RECORDS,
            outcome="loaded",
            succeeded_records=RECORDS - failed,
            failed_records=failed,
            held_records=0,
            unprocessed_records=0,
            errors_by_code={"VAL_001": failed} if failed else {},
            started_at=datetime.now(UTC),
            duration_ms=3,
        )
        return replace(told, **facts)

    def unprocessed(self, upload_id: UUID, chunk: int, **facts: Any) -> ChunkResult:
        """What a processor would say of a chunk that it gave up."""
        nothing = {"succeeded_records": 0, "failed_records": 0, "errors_by_code": {}}
        return self.result(
            upload_id, chunk, **{"outcome": "unprocessed", "unprocessed_records": RECORDS, **nothing, **facts}
        )

    def work(self, *results: ChunkResult, connection: Connection | None = None) -> list[ChunkResult]:
        """A processor wrote these into the ledger, with their rows and rejections, and moved their lanes."""
        if connection is None:
            with self.owner.begin() as own:
                return self.work(*results, connection=own)
        for result in results:
            values = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "upload_id"}
            row = {**values, "batch_upload_id": result.upload_id, "digest": b"d" * 16}
            connection.execute(sqlalchemy.insert(processed_chunks).values(row))
            connection.execute(_MOVE, {"upload_id": result.upload_id, "lane": result.lane, "next": result.lane_seq + 1})
            _load(connection, result)
            if result.outcome == "unprocessed":
                _give_up(connection, result)
        return list(results)

    def fold(self, *results: ChunkResult, woken: tuple[UUID, ...] = ()) -> Folded:
        """The auditor folded these in one transaction, as its own role."""
        with self.engine.begin() as connection:
            return projection.fold(connection, results, [(id_, self._organization(id_)) for id_ in woken])

    def upload(self, upload_id: UUID) -> Any:
        """The upload's row."""
        with self.owner.connect() as connection:
            return connection.execute(sqlalchemy.select(batch_uploads).where(batch_uploads.c.id == upload_id)).one()

    def totals(self, upload_id: UUID) -> tuple[int, int, int, int, int, dict[str, int]]:
        """Processed, succeeded, failed, held, unprocessed, by code."""
        row = self.upload(upload_id)
        return (
            row.processed_records,
            row.succeeded_records,
            row.failed_records,
            row.held_records,
            row.unprocessed_records,
            row.errors_by_code,
        )

    def events(self, upload_id: UUID) -> list[str]:
        """The audit log's events, in their order."""
        log = batch_upload_audit_logs.c
        query = sqlalchemy.select(log.event_type).where(log.batch_upload_id == upload_id).order_by(log.id)
        with self.owner.connect() as connection:
            return list(connection.execute(query).scalars())

    def sent(self, upload_id: UUID) -> list[Any]:
        """The rows of the outbox about an upload, in their order."""
        query = sqlalchemy.select(outbox).where(outbox.c.message_key == str(upload_id).encode()).order_by(outbox.c.id)
        with self.owner.connect() as connection:
            return list(connection.execute(query))

    def execute(self, statement: str, **facts: Any) -> None:
        """Meddle by hand."""
        with self.owner.begin() as connection:
            connection.execute(text(statement), facts)

    def kill_sessions(self, which: str) -> int:
        """End sessions of this database; how many."""
        query = f"""
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}
        """  # noqa: S608 - words of a test
        with self.owner.begin() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def _organization(self, upload_id: UUID) -> UUID:
        organization: UUID = self.upload(upload_id).organization_id
        return organization

    def _update_split(self, upload_id: UUID, **facts: Any) -> None:
        with self.owner.begin() as connection:
            connection.execute(
                sqlalchemy.update(upload_splits).where(upload_splits.c.batch_upload_id == upload_id).values(**facts)
            )


@contextmanager
def scene_of(url: str) -> Iterator[Scene]:
    """The scene in a migrated database."""
    with engine_of(url, role=AUDITOR_ROLE, service="auditor") as engine, engine_of(url) as owner:
        with owner.begin() as connection:
            bring_up_to_date(connection, THING)
        yield Scene(engine, owner)


_MOVE = text("""
    UPDATE upload_lanes SET next_seq = greatest(next_seq, :next) WHERE batch_upload_id = :upload_id AND lane = :lane
""")
_ROWS = text("""
    INSERT INTO things (organization_id, name, batch_upload_id, row_number)
    SELECT :organization_id, CAST(:upload_id AS text) || ' ' || row_number, CAST(:upload_id AS uuid), row_number
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS row_number
""")


def _load(connection: Connection, result: ChunkResult) -> None:
    facts = {
        "organization_id": result.organization_id,
        "upload_id": result.upload_id,
        "first": result.first_row,
        "last": result.first_row + result.succeeded_records - 1,
    }
    connection.execute(_ROWS, facts)
    for place in range(result.failed_records):
        connection.execute(
            sqlalchemy.insert(batch_upload_errors).values(
                organization_id=result.organization_id,
                batch_upload_id=result.upload_id,
                row_number=result.first_row + result.succeeded_records + place,
                error_code="VAL_001",
                error_message="missing",
                errors=[],
            )
        )


def _give_up(connection: Connection, result: ChunkResult) -> None:
    connection.execute(
        sqlalchemy.insert(dead_letters).values(
            id=new_id(),
            organization_id=result.organization_id,
            batch_upload_id=result.upload_id,
            chunk_number=result.chunk_number,
            attempt=result.attempt,
            reason="tests",
            tries=3,
            records=result.records,
        )
    )
