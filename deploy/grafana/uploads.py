"""One organization and one upload, asked from Postgres: what must never be a label of a metric."""

from deploy.grafana.panels import POSTGRES, Dashboard, Kind, Panel, Row, Variable

# What the queries below say in braces.
_CONDITIONS = {
    "{mine}": "organization_id = ${organization:sqlstring}::uuid",
    "{in_time}": "created_at BETWEEN $__timeFrom() AND $__timeTo()",
    "{this}": "batch_upload_id = ${upload:sqlstring}::uuid",
}


def _asks(
    title: str, says: str, sql: str, kind: Kind = "table", width: int = 12, *, unit: str = "short",
    height: int = 7, empty: str | None = None, steps: dict[str, float] | None = None, stacked: bool = False,
) -> Panel:  # fmt: skip
    for name, condition in _CONDITIONS.items():
        sql = sql.replace(name, condition)
    return Panel(
        title=title, says=says, queries={"": " ".join(sql.split())}, source=POSTGRES, kind=kind, width=width,
        unit=unit, height=height, empty=empty, steps=steps, stacked=stacked,
    )  # fmt: skip


ORGANIZATION = Dashboard(
    uid="rowstream-organization",
    title="rowstream: one organization",
    says="What one organization handed in, and what became of it.",
    since="now-24h",
    refresh="1m",
    variables=(
        Variable(
            name="organization",
            label="Organization",
            sql="SELECT name AS __text, id::text AS __value FROM organizations ORDER BY name",
        ),
    ),
    rows=(
        Row(
            "In this time",
            [
                _asks("Uploads", "Begun in this time, whatever became of them.",
                      "SELECT count(*) FROM batch_uploads WHERE {mine} AND {in_time}", "stat", 4, height=4),
                _asks("Records loaded", "Rows in the tables of their record types.",
                      """SELECT coalesce(sum(succeeded_records), 0) AS loaded FROM batch_uploads
                          WHERE {mine} AND {in_time}""", "stat", 5, height=4),
                _asks("Records rejected", "Each with its errors, to be corrected by the sender.",
                      """SELECT coalesce(sum(failed_records), 0) AS rejected FROM batch_uploads
                          WHERE {mine} AND {in_time}""", "stat", 5, height=4),
                _asks("Share rejected", "Of the records that have an outcome.",
                      """SELECT coalesce(sum(failed_records)::float / nullif(sum(processed_records), 0), 0) AS share
                          FROM batch_uploads WHERE {mine} AND {in_time}""",
                      "stat", 5, unit="percentunit", height=4, steps={"orange": 0.05, "red": 0.2}),
                _asks("Records unprocessed", "Given up on for a reason of ours; a retry of their uploads takes them.",
                      """SELECT coalesce(sum(unprocessed_records), 0) AS unprocessed FROM batch_uploads
                          WHERE {mine} AND {in_time}""", "stat", 5, height=4, steps={"red": 1}),
                _asks("Uploads an hour, by status", "As they stand now, at the hour in which they began.",
                      """SELECT date_trunc('hour', created_at) AS time, status AS metric, count(*) AS uploads
                          FROM batch_uploads WHERE {mine} AND {in_time} GROUP BY 1, 2 ORDER BY 1""",
                      "timeseries", stacked=True),
                _asks("Records an hour, by record type", "Records with an outcome.",
                      """SELECT date_trunc('hour', created_at) AS time, record_type AS metric,
                                 sum(processed_records) AS records
                          FROM batch_uploads WHERE {mine} AND {in_time} GROUP BY 1, 2 ORDER BY 1""",
                      "timeseries", stacked=True),
                _asks("Why records were rejected", "By the first error's code.",
                      """SELECT e.key AS code, sum(e.value::bigint) AS records
                          FROM batch_uploads u CROSS JOIN LATERAL jsonb_each_text(u.errors_by_code) e
                          WHERE u.{mine} AND u.{in_time} GROUP BY 1 ORDER BY 2 DESC""", "bargauge", empty="none"),
                _asks("Senders", "Who handed in how much, and how much of it was rejected.",
                      """SELECT source, source_type AS "way in", record_type AS "record type", count(*) AS uploads,
                                 sum(processed_records) AS records, sum(failed_records) AS rejected
                          FROM batch_uploads WHERE {mine} AND {in_time} GROUP BY 1, 2, 3 ORDER BY records DESC"""),
            ],
        ),
        Row(
            "Uploads",
            [
                _asks("The newest", "Begun in this time. The dashboard of one upload says more.",
                      """SELECT created_at AS begun, filename, record_type AS "record type", status,
                                 total_records AS records, succeeded_records AS loaded, failed_records AS rejected,
                                 unprocessed_records AS unprocessed, failure_code AS failure,
                                 extract(epoch FROM completed_at - coalesce(accepted_at, created_at))::float AS seconds,
                                 id::text
                          FROM batch_uploads WHERE {mine} AND {in_time}
                          ORDER BY batch_uploads.created_at DESC LIMIT 200""", width=24, height=10),
                _asks("Open, the oldest first", "Not ended, whenever they began.",
                      """SELECT created_at AS begun, filename, status, processed_records AS "records so far", id::text
                          FROM batch_uploads WHERE {mine} AND status NOT IN ('completed', 'failed', 'cancelled')
                          ORDER BY created_at LIMIT 100""", empty="none"),
                _asks("Chunks given up on", "Not redriven yet, with the reason.",
                      """SELECT created_at AS at, batch_upload_id::text AS upload, chunk_number AS chunk,
                                 error_code AS code, reason, tries, records
                          FROM dead_letters WHERE {mine} AND redriven_at IS NULL
                          ORDER BY dead_letters.created_at DESC LIMIT 100""", empty="none"),
            ],
        ),
    ),
)  # fmt: skip

UPLOAD = Dashboard(
    uid="rowstream-upload",
    title="rowstream: one upload",
    says="How one upload went: its way through splitting, loading and folding, lane by lane.",
    since="now-24h",
    refresh="5s",
    variables=(
        *ORGANIZATION.variables,
        Variable(
            name="upload",
            label="Upload",
            sql="SELECT to_char(created_at, 'YYYY-MM-DD HH24:MI:SS ') || filename AS __text, id::text AS __value "
            "FROM batch_uploads WHERE organization_id = ${organization:sqlstring}::uuid "
            "ORDER BY created_at DESC LIMIT 500",
        ),
    ),
    rows=(
        Row(
            "The upload",
            [
                _asks("How it stands", "Its row in batch_uploads.",
                      """SELECT status, attempt, version, filename, record_type AS "record type", source,
                                size_bytes AS bytes, failure_code AS failure, failure_message AS message,
                                accepted_at AS accepted, started_at AS started, completed_at AS ended,
                                correlation_id AS "correlation id"
                         FROM batch_uploads WHERE id = ${upload:sqlstring}::uuid""", width=24, height=4),
                _asks("Records in the file", "Known once the file was read to its end; until then, those cut so far.",
                      """SELECT coalesce(records, records_split) AS records FROM upload_splits WHERE {this}""",
                      "stat", 4, height=4),
                _asks("With an outcome", "Loaded, rejected or held, of the records in the file.",
                      """SELECT u.processed_records::float / nullif(coalesce(s.records, s.records_split), 0) AS share
                          FROM batch_uploads u JOIN upload_splits s ON s.batch_upload_id = u.id WHERE s.{this}""",
                      "stat", 4, unit="percentunit", height=4),
                _asks("Loaded", "Rows in the record type's table.",
                      "SELECT succeeded_records AS loaded FROM batch_uploads WHERE id = ${upload:sqlstring}::uuid",
                      "stat", 4, height=4),
                _asks("Rejected", "With their errors in batch_upload_errors.",
                      "SELECT failed_records AS rejected FROM batch_uploads WHERE id = ${upload:sqlstring}::uuid",
                      "stat", 4, height=4),
                _asks("Unprocessed", "Given up on for a reason of ours.",
                      "SELECT unprocessed_records AS unprocessed FROM batch_uploads "
                      "WHERE id = ${upload:sqlstring}::uuid", "stat", 4, height=4, steps={"red": 1}),
                _asks("Seconds", "From accepted to ended, or to now.",
                      """SELECT extract(epoch FROM coalesce(completed_at, now()) - coalesce(accepted_at, created_at))
                         ::float AS seconds FROM batch_uploads WHERE id = ${upload:sqlstring}::uuid""",
                      "stat", 4, unit="s", height=4),
            ],
        ),
        Row(
            "Splitting",
            [
                _asks("The split", "Who holds the lease, until when, and how far the file was read.",
                      """SELECT attempt, epoch, holder, lease_until AS "lease until", records_split AS "records cut",
                                 bytes_read AS "bytes read", chunks, records, plan ->> 'lanes' AS lanes,
                                 split_at AS "read to its end", closed_at AS closed, failure_code AS failure
                          FROM upload_splits WHERE {this}""", width=24, height=4),
                _asks("Lanes", "Which chunk comes next in each, what the ledger has, and whether something is missing.",
                      """SELECT l.lane, l.next_seq AS "next chunk", l.gap_epoch AS "gap noted in epoch",
                                 count(p.chunk_number) AS "chunks in the ledger", coalesce(sum(p.records), 0) AS records
                          FROM upload_lanes l LEFT JOIN processed_chunks p
                              ON p.batch_upload_id = l.batch_upload_id AND p.lane = l.lane
                          WHERE l.{this} GROUP BY l.lane, l.next_seq, l.gap_epoch ORDER BY l.lane"""),
                _asks("What was asked of it", "Pause, cancel, undo: the last request.",
                      """SELECT requested, requested_by AS "by", requested_at AS at, undo,
                                 undone_records AS "rows taken out", undone_at AS "taken out at"
                          FROM upload_control WHERE {this}""", empty="nothing"),
            ],
        ),
        Row(
            "Loading",
            [
                _asks("Records loaded and rejected, a second", "At the moment at which their chunks were begun.",
                      """SELECT date_trunc('second', started_at) AS time, sum(succeeded_records) AS loaded,
                                 sum(failed_records) AS rejected
                          FROM processed_chunks WHERE {this} GROUP BY 1 ORDER BY 1""", "timeseries", stacked=True),
                _asks("Time a batch of chunks took", "By the processor that worked it.",
                      """SELECT started_at AS time, worker AS metric, max(duration_ms) AS duration
                          FROM processed_chunks WHERE {this} GROUP BY 1, 2 ORDER BY 1""", "timeseries", unit="ms"),
                _asks("Why records were rejected", "By the first error's code.",
                      """SELECT e.key AS code, e.value::bigint AS records
                         FROM batch_uploads u CROSS JOIN LATERAL jsonb_each_text(u.errors_by_code) e
                         WHERE u.id = ${upload:sqlstring}::uuid ORDER BY 2 DESC""", "bargauge", 8, empty="none"),
                _asks("Who worked its chunks", "By processor.",
                      """SELECT worker, count(*) AS chunks, sum(records) AS records, max(duration_ms) AS "longest, ms"
                          FROM processed_chunks WHERE {this} GROUP BY 1 ORDER BY 2 DESC""", width=8),
                _asks("Chunks given up on", "With the reason; redriven ones too.",
                      """SELECT chunk_number AS chunk, attempt, error_code AS code, reason, tries, records,
                                 first_row AS "first row", last_row AS "last row", redriven_at AS redriven
                          FROM dead_letters WHERE {this} ORDER BY chunk_number LIMIT 200""", width=8, empty="none"),
            ],
        ),
        Row(
            "Folding",
            [
                _asks("What happened", "The audit log without the chunks that went as usual.",
                      """SELECT created_at AS at, event_type AS event, attempt, chunk_number AS chunk, metadata::text
                          FROM batch_upload_audit_logs WHERE {this} AND event_type <> 'chunk_completed'
                          ORDER BY id DESC LIMIT 200""", width=16),
                _asks("Folded", "What the audit log adds up to; equal to the ledger once all is at rest.",
                      """SELECT count(*) AS chunks, sum(records_in_chunk) AS records, sum(succeeded_count) AS loaded,
                                 sum(failed_count) AS rejected
                          FROM batch_upload_audit_logs WHERE {this} AND event_type = 'chunk_completed'""", width=8),
            ],
        ),
    ),
)  # fmt: skip
