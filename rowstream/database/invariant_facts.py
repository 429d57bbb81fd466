"""What the invariants are about, as SQL: every number that is stored twice, from each of its places, by upload.

All of it is read in one snapshot. Each query reads its table once, in groups by upload; nothing is compared here.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_SORT_IN_MEMORY = text("SET LOCAL work_mem = '256MB'")
_SEE_ALL = text("SET LOCAL row_security = off")  # a login that would see less than everything gets an error instead
_TABLES = text("SELECT table_name FROM record_type_tables ORDER BY table_name")
_UPLOADS = text("""
    SELECT u.id, u.organization_id, u.status, u.total_records, u.processed_records,
           u.succeeded_records AS succeeded, u.failed_records AS failed, u.held_records AS held,
           u.unprocessed_records AS unprocessed, u.errors_by_code AS codes, s.chunks, s.records,
           s.batch_upload_id IS NOT NULL AS noted, s.failure_code IS NOT NULL AS cut_short,
           EXISTS (
               SELECT FROM batch_upload_audit_logs a
               WHERE a.batch_upload_id = u.id AND a.event_type = 'upload_closed' AND a.attempt = u.attempt
           ) AS closed, coalesce(c.undone_records, 0) AS undone
    FROM batch_uploads u LEFT JOIN upload_splits s ON s.batch_upload_id = u.id
         LEFT JOIN upload_control c ON c.batch_upload_id = u.id
""")
# Every row number that has its place somewhere; {loaded} is one SELECT for each record type's table.
_PLACED = """
    SELECT id, organization_id, count(*) AS records, count(DISTINCT row_number) AS different,
           count(*) FILTER (WHERE place = 'loaded') AS succeeded,
           count(*) FILTER (WHERE place = 'rejected') AS failed,
           count(*) FILTER (WHERE place = 'held') AS held,
           min(row_number) AS first_row, max(row_number) AS last_row
    FROM (
        {loaded}
        SELECT batch_upload_id AS id, organization_id, row_number, 'rejected' AS place FROM batch_upload_errors
        UNION ALL
        SELECT batch_upload_id, organization_id, row_number, 'held' FROM held_records
    ) AS placed
    GROUP BY id, organization_id
"""
_LOADED = "SELECT batch_upload_id AS id, organization_id, row_number, 'loaded' AS place FROM {table} UNION ALL"
_REJECTED_CODES = text("""
    SELECT batch_upload_id AS id, error_code AS code, count(*) AS records FROM batch_upload_errors GROUP BY 1, 2
""")
_LEDGER = text("""
    SELECT c.batch_upload_id AS id, count(*) AS chunks, sum(c.records) AS records,
           sum(c.succeeded_records) AS succeeded, sum(c.failed_records) AS failed, sum(c.held_records) AS held,
           sum(c.unprocessed_records) AS unprocessed, min(c.first_row) AS first_row, max(c.last_row) AS last_row,
           count(*) FILTER (WHERE c.records <> c.succeeded_records + c.failed_records + c.held_records
                                               + c.unprocessed_records) AS crooked,
           count(*) FILTER (WHERE c.chunk_number <> c.lane_seq::bigint * l.lanes + c.lane OR c.lane >= l.lanes
                                  OR l.lanes IS NULL) AS misplaced,
           count(*) FILTER (WHERE c.outcome = 'unprocessed' AND NOT EXISTS (
               SELECT FROM dead_letters d WHERE d.batch_upload_id = c.batch_upload_id
                   AND d.chunk_number = c.chunk_number AND d.attempt = c.attempt AND d.records = c.records
           )) AS unexplained
    FROM processed_chunks c LEFT JOIN (
        SELECT batch_upload_id, count(*) AS lanes FROM upload_lanes GROUP BY 1
    ) AS l ON l.batch_upload_id = c.batch_upload_id
    GROUP BY 1
""")
_LEDGER_CODES = text("""
    SELECT batch_upload_id AS id, code, sum(number::bigint) AS records
    FROM processed_chunks, jsonb_each_text(errors_by_code) AS by_code (code, number) GROUP BY 1, 2
""")
_BROKEN_LANES = text("""
    SELECT l.batch_upload_id AS id, l.lane, l.next_seq, count(c.lane_seq) AS chunks, max(c.lane_seq) AS last_seq
    FROM upload_lanes l LEFT JOIN processed_chunks c ON c.batch_upload_id = l.batch_upload_id AND c.lane = l.lane
    GROUP BY l.batch_upload_id, l.lane, l.next_seq
    HAVING count(DISTINCT c.lane_seq) <> l.next_seq OR count(c.lane_seq) <> l.next_seq
           OR coalesce(max(c.lane_seq), -1) <> l.next_seq - 1
    ORDER BY 1, 2
""")
_LATEST = """
    SELECT DISTINCT ON (batch_upload_id, chunk_number) * FROM batch_upload_audit_logs
    WHERE event_type = 'chunk_completed' ORDER BY batch_upload_id, chunk_number, attempt DESC
"""
_AUDIT = text(f"""
    SELECT batch_upload_id AS id, count(*) AS chunks, sum(records_in_chunk) AS records,
           sum(succeeded_count) AS succeeded, sum(failed_count) AS failed,
           sum((metadata ->> 'held')::bigint) AS held, sum((metadata ->> 'unprocessed')::bigint) AS unprocessed
    FROM ({_LATEST}) AS latest GROUP BY 1
""")  # noqa: S608 - put together from the constant above
_AUDIT_CODES = text(f"""
    SELECT batch_upload_id AS id, code, sum(number::bigint) AS records
    FROM ({_LATEST}) AS latest, jsonb_each_text(metadata -> 'errors_by_code') AS by_code (code, number) GROUP BY 1, 2
""")  # noqa: S608 - put together from the constant above
_REPEATED = """
    SELECT row_number FROM (
        {loaded}
        SELECT batch_upload_id AS id, organization_id, row_number, 'rejected' FROM batch_upload_errors
        UNION ALL
        SELECT batch_upload_id, organization_id, row_number, 'held' FROM held_records
    ) AS placed
    WHERE id = :upload_id GROUP BY row_number HAVING count(*) > 1 ORDER BY row_number LIMIT 5
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One upload's numbers as one place has them; `records` is all of its records there."""

    records: int = 0
    succeeded: int = 0
    failed: int = 0
    held: int = 0
    unprocessed: int = 0
    chunks: int = 0
    codes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A lane whose `next_seq` is not the number of its chunks in the ledger."""

    lane: int
    next_seq: int
    chunks: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything stored of one upload.

    Attributes:
        columns: What its row says.
        split_chunks, split_records: What the splitter says there is; None until it was read to its end.
        noted: Whether a splitter has noted it.
        cut_short: Whether the splitter failed it.
        closed: Whether it was brought to rest after it was cut short.
        undone: Rows of it that were taken out again.
        placed: What the record tables, rejections and held records hold; `chunks` and `unprocessed` are 0.
        repeated_rows: Some row numbers that have more than one place.
        rows: First and last row number that has a place.
        ledger_rows: First and last row number that the ledger speaks of.
        crooked: Ledger rows whose counts do not add up to their records.
        misplaced: Ledger rows whose chunk number does not follow from lane and sequence.
        unexplained: Ledger rows of unprocessed chunks without a dead letter of the same attempt.
    """

    upload_id: UUID
    status: str
    total_records: int | None
    processed_records: int
    columns: Counts
    split_chunks: int | None
    split_records: int | None
    noted: bool
    cut_short: bool
    closed: bool
    undone: int = 0
    placed: Counts = field(default_factory=Counts)
    repeated_rows: tuple[int, ...] = ()
    rows: tuple[int, int] | None = None
    ledger: Counts = field(default_factory=Counts)
    ledger_rows: tuple[int, int] | None = None
    crooked: int = 0
    misplaced: int = 0
    unexplained: int = 0
    broken_lanes: tuple[Lane, ...] = ()
    audit: Counts = field(default_factory=Counts)


@dataclass(frozen=True, kw_only=True)
class Stray:
    """Records that name an upload that does not exist, or that belongs to another organization."""

    upload_id: UUID
    organization_id: UUID
    records: int


def gather(connection: Connection) -> tuple[list[Facts], list[Stray]]:
    """All facts of all uploads, and the records that belong to none; must be the first thing in its transaction."""
    connection.execute(_SNAPSHOT)
    connection.execute(_SORT_IN_MEMORY)
    connection.execute(_SEE_ALL)
    loaded = "\n".join(_LOADED.format(table=table) for table in connection.execute(_TABLES).scalars())
    uploads = {row.id: row for row in connection.execute(_UPLOADS)}
    placed, strays = {}, []
    for row in connection.execute(text(_PLACED.format(loaded=loaded))):
        if row.id in uploads and uploads[row.id].organization_id == row.organization_id:
            placed[row.id] = row
        else:
            strays.append(Stray(upload_id=row.id, organization_id=row.organization_id, records=row.records))
    stored = _Stored(connection)
    repeated = {
        upload_id: tuple(connection.execute(text(_REPEATED.format(loaded=loaded)), {"upload_id": upload_id}).scalars())
        for upload_id, row in placed.items()
        if row.different != row.records
    }
    facts = [stored.facts(row, placed.get(row.id), repeated.get(row.id, ())) for row in uploads.values()]
    return sorted(facts, key=lambda one: one.upload_id), strays


class _Stored:
    """The aggregates of each table, by upload."""

    def __init__(self, connection: Connection) -> None:
        self._ledger = {row.id: row for row in connection.execute(_LEDGER)}
        self._audit = {row.id: row for row in connection.execute(_AUDIT)}
        self._rejected_codes = _by_upload(connection.execute(_REJECTED_CODES))
        self._ledger_codes = _by_upload(connection.execute(_LEDGER_CODES))
        self._audit_codes = _by_upload(connection.execute(_AUDIT_CODES))
        self._lanes: defaultdict[UUID, list[Lane]] = defaultdict(list)
        for row in connection.execute(_BROKEN_LANES):
            self._lanes[row.id].append(Lane(lane=row.lane, next_seq=row.next_seq, chunks=row.chunks))

    def facts(self, upload: Any, placed: Any, repeated: tuple[int, ...]) -> Facts:
        ledger, audit = self._ledger.get(upload.id), self._audit.get(upload.id)
        return Facts(
            upload_id=upload.id,
            status=upload.status,
            total_records=upload.total_records,
            processed_records=upload.processed_records,
            columns=_counts(upload, upload.codes),
            split_chunks=upload.chunks,
            split_records=upload.records,
            noted=upload.noted,
            cut_short=upload.cut_short,
            closed=upload.closed,
            undone=upload.undone,
            placed=_counts(placed, self._rejected_codes[upload.id]),
            repeated_rows=repeated,
            rows=_range(placed),
            ledger=_counts(ledger, self._ledger_codes[upload.id]),
            ledger_rows=_range(ledger),
            crooked=ledger.crooked if ledger else 0,
            misplaced=ledger.misplaced if ledger else 0,
            unexplained=ledger.unexplained if ledger else 0,
            broken_lanes=tuple(self._lanes[upload.id]),
            audit=_counts(audit, self._audit_codes[upload.id]),
        )


def _by_upload(rows: Iterable[Any]) -> defaultdict[UUID, dict[str, int]]:
    found: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for row in rows:
        found[row.id][row.code] = int(row.records)
    return found


def _counts(row: Any, codes: dict[str, int]) -> Counts:
    if row is None:
        return Counts(codes=codes)
    names = ("records", "succeeded", "failed", "held", "unprocessed", "chunks")
    return Counts(codes=codes, **{name: int(getattr(row, name, 0) or 0) for name in names})


def _range(row: Any) -> tuple[int, int] | None:
    return None if row is None else (row.first_row, row.last_row)
