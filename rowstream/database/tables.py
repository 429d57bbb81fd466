"""Every table of the system, for queries; the migrations make them, and a test compares the two.

Who may write what is said in DESIGN's "States and writers" and kept by grants (`migrations/`): a change of a column's
writer is a change there too. Times are the database's own (`now()`), durations are milliseconds measured by the
writer's monotonic clock, ids are UUIDv7.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

metadata = MetaData()

UPLOAD_STATUSES = (
    "awaiting_upload",
    "pending",
    "processing",
    "paused",
    "needs_review",
    "completed",
    "failed",
    "cancelled",
)
TERMINAL_STATUSES = ("completed", "failed", "cancelled")
SOURCE_TYPES = ("ui", "api", "ftp", "s3_event", "kafka")


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def _moment(name: str, *, now: bool = False) -> Column[object]:
    return Column(
        name, TIMESTAMP(timezone=True), nullable=not now, server_default=text("clock_timestamp()") if now else None
    )


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _organization() -> Column[object]:
    return Column("organization_id", Uuid, ForeignKey("organizations.id"), nullable=False)


def _copied_into() -> list[Column[object]]:
    """For a table that rows are copied into: no foreign keys, since a check a row would cost more than the COPY."""
    return [Column("organization_id", Uuid, nullable=False), Column("batch_upload_id", Uuid, primary_key=True)]


def _upload(*, key: bool = False) -> Column[object]:
    return Column("batch_upload_id", Uuid, ForeignKey("batch_uploads.id"), nullable=False, primary_key=key)


organizations = Table(
    "organizations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _moment("created_at", now=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole key"),
    _moment("created_at", now=True),
    _moment("expires_at"),
    _moment("revoked_at"),
)

batch_uploads = Table(
    "batch_uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("status", Text, _one_of("status", UPLOAD_STATUSES), nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="rises with each change of status"),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("source_type", Text, _one_of("source_type", SOURCE_TYPES), nullable=False),
    Column("source", Text, nullable=False, comment="who hands in: CloudEvents' source"),
    Column("source_event_id", Text, nullable=False, comment="CloudEvents' id, or the Idempotency-Key"),
    Column("correlation_id", Text, nullable=False),
    Column("traceparent", Text, nullable=False, comment="W3C trace context of the request"),
    Column("record_type", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("s3_bucket", Text, nullable=False),
    Column("s3_key", Text, nullable=False),
    Column("etag", Text),
    Column("version_id", Text),
    Column("size_bytes", BigInteger),
    Column("total_records", BigInteger),
    _count("processed_records"),
    _count("succeeded_records"),
    _count("failed_records"),
    _count("held_records"),
    _count("unprocessed_records"),
    Column("errors_by_code", JSONB, nullable=False, server_default=text("'{}'")),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("created_by", Text, nullable=False),
    _moment("created_at", now=True),
    _moment("accepted_at"),
    _moment("started_at"),
    _moment("completed_at"),
    UniqueConstraint("organization_id", "source", "source_event_id", name="one_upload_an_event"),
    Index("batch_uploads_newest", "organization_id", text("created_at DESC"), text("id DESC")),
    Index("batch_uploads_open", "status", postgresql_where=text("status NOT IN ('completed', 'failed', 'cancelled')")),
    Index("batch_uploads_ended", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
)

batch_upload_audit_logs = Table(
    "batch_upload_audit_logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _organization(),
    _upload(),
    Column("event_type", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("chunk_number", BigInteger),
    _count("records_in_chunk"),
    _count("succeeded_count"),
    _count("failed_count"),
    _moment("started_at"),
    Column("duration_ms", BigInteger),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    _moment("created_at", now=True),
    Index("audit_logs_of_an_upload", "batch_upload_id", "id"),
    Index(
        "one_chunk_completed_an_attempt",
        "batch_upload_id",
        "chunk_number",
        "attempt",
        unique=True,
        postgresql_where=text("event_type = 'chunk_completed'"),
    ),
)

batch_upload_errors = Table(
    "batch_upload_errors",
    metadata,
    *_copied_into(),
    Column("row_number", BigInteger, primary_key=True, comment="as a spreadsheet shows it: the header is row 1"),
    Column("error_code", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("errors", JSONB, nullable=False, comment="[{field, code, message, value}]"),
    Column("row_data", JSONB, comment="header -> original text"),
    Column("raw_text", Text, comment="of a record that could not be parsed"),
    _moment("created_at", now=True),
)

held_records = Table(
    "held_records",
    metadata,
    *_copied_into(),
    Column("row_number", BigInteger, primary_key=True),
    Column("record_type", Text, nullable=False),
    Column("record_key", Text, nullable=False),
    Column("row_data", JSONB, nullable=False),
    Column("reason", JSONB, nullable=False),
    _moment("created_at", now=True),
)

upload_splits = Table(
    "upload_splits",
    metadata,
    _organization(),
    _upload(key=True),
    Column("attempt", Integer, nullable=False),
    Column("record_type", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default=text("0"), comment="rises with each holder and resend"),
    Column("holder", Text),
    _moment("lease_until"),
    Column("plan", JSONB, comment="all that the cutting depends on, pinned before the first chunk"),
    _count("records_split"),
    _count("bytes_read"),
    Column("chunks", BigInteger, comment="final; null until the file was read to its end"),
    Column("records", BigInteger, comment="final"),
    Column("failure_code", Text),
    Column("failure_message", Text),
    _moment("created_at", now=True),
    _moment("split_at"),
    _moment("closed_at"),
    Index("upload_splits_waiting", "created_at", postgresql_where=text("closed_at IS NULL")),
)

upload_lanes = Table(
    "upload_lanes",
    metadata,
    _organization(),
    _upload(key=True),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column(
        "next_seq", Integer, nullable=False, server_default=text("0"), comment="every chunk before it has a ledger row"
    ),
    Column("gap_epoch", Integer, nullable=False, server_default=text("-1")),
)

upload_control = Table(
    "upload_control",
    metadata,
    _organization(),
    _upload(key=True),
    Column("requested", Text, _one_of("requested", ("run", "pause", "cancel")), nullable=False),
    Column("requested_by", Text, nullable=False),
    _moment("requested_at", now=True),
    Column(
        "undo", Boolean, nullable=False, server_default=text("false"), comment="a cancelled upload's rows go out again"
    ),
    _count("undone_records"),
    _moment("undone_at"),
    Column(
        "undone_to",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="rows up to this number are out again",
    ),
    Index("upload_control_undo_due", "requested_at", postgresql_where=text("undo AND undone_at IS NULL")),
)

processed_chunks = Table(
    "processed_chunks",
    metadata,
    *_copied_into(),
    Column("chunk_number", BigInteger, primary_key=True, autoincrement=False),
    Column("lane", Integer, nullable=False),
    Column("lane_seq", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("first_row", BigInteger, nullable=False),
    Column("last_row", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("outcome", Text, _one_of("outcome", ("loaded", "unprocessed")), nullable=False),
    _count("succeeded_records"),
    _count("failed_records"),
    _count("held_records"),
    _count("unprocessed_records"),
    Column("errors_by_code", JSONB, nullable=False, server_default=text("'{}'")),
    Column("digest", LargeBinary, nullable=False),
    Column("started_at", TIMESTAMP(timezone=True), nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("worker", Text, nullable=False, server_default=text("''"), comment="which processor, as host/process"),
    Column(
        "announced_at",
        TIMESTAMP(timezone=True),
        nullable=True,
        comment="when its accepted records were announced, or that they need not be; null while they are due",
    ),
    Index("processed_chunks_unannounced", "batch_upload_id", postgresql_where=text("announced_at IS NULL")),
)

chunk_attempts = Table(
    "chunk_attempts",
    metadata,
    _organization(),
    _upload(key=True),
    Column("chunk_number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    _moment("tried_at", now=True),
)

partitions_in_work = Table(
    "partitions_in_work",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    _moment("since", now=True),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    _upload(),
    Column("chunk_number", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    _moment("created_at", now=True),
    _moment("redriven_at"),
    Column("error_code", Text, nullable=False, server_default=text("'UNK_001'")),
    _count("records"),
    Column("first_row", BigInteger),
    Column("last_row", BigInteger),
    Index("one_dead_letter_an_attempt", "batch_upload_id", "chunk_number", "attempt", unique=True),
    Index("dead_letters_newest", "organization_id", text("created_at DESC"), text("id DESC")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    _organization(),
    Column("topic", Text, nullable=False),
    Column("message_key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False),
    _moment("created_at", now=True),
    _moment("published_at"),
    Index("outbox_waiting", "created_at", postgresql_where=text("published_at IS NULL")),
    Index("outbox_published", "published_at", postgresql_where=text("published_at IS NOT NULL")),
)

message_schemas = Table(
    "message_schemas",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="CRC-64-AVRO, little-endian"),
    Column("name", Text, nullable=False),
    Column("schema", JSONB, nullable=False),
    _moment("created_at", now=True),
)

sending_hold = Table(
    "sending_hold",
    metadata,
    Column("name", Text, primary_key=True, comment="why"),
    Column("until", TIMESTAMP(timezone=True), nullable=False, comment="it ends by itself, unless it is renewed"),
)

record_type_tables = Table(
    "record_type_tables",
    metadata,
    Column("record_type", Text, primary_key=True),
    Column("table_name", Text, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("columns", JSONB, nullable=False, comment="column -> type, as last migrated"),
    _moment("migrated_at", now=True),
)
