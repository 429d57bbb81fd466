"""The tables of uploads, for queries; the migrations make all tables, and a test compares the two.

Who may write what is said in DESIGN's "States and writers" and kept by grants (`migrations/`): a change of a column's
writer is a change there too. Times are the database's own (`now()`), durations are milliseconds measured by the
writer's monotonic clock, ids are UUIDv7.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from rowstream.database.columns import copied_into, count, metadata, moment, one_of, organization, upload

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


batch_uploads = Table(
    "batch_uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization(),
    Column("status", Text, one_of("status", UPLOAD_STATUSES), nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="rises with each change of status"),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("source_type", Text, one_of("source_type", SOURCE_TYPES), nullable=False),
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
    count("processed_records"),
    count("succeeded_records"),
    count("failed_records"),
    count("held_records"),
    count("unprocessed_records"),
    Column("errors_by_code", JSONB, nullable=False, server_default=text("'{}'")),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("created_by", Text, nullable=False),
    Column("created_by_kind", Text, nullable=False, server_default=text("'key'"), comment="key, user or system"),
    Column("created_by_id", Uuid, comment="of that key or user"),
    Column("created_from", Text, comment="the address that it came from"),
    moment("created_at", now=True),
    moment("accepted_at"),
    moment("started_at"),
    moment("completed_at"),
    Column(
        "body_sha256",
        LargeBinary,
        comment="of the first whole body that came under its Idempotency-Key, where the body is the file",
    ),
    UniqueConstraint("organization_id", "source", "source_event_id", name="one_upload_an_event"),
    Index("batch_uploads_newest", "organization_id", text("created_at DESC"), text("id DESC")),
    Index("batch_uploads_by_size", "organization_id", "record_type", "size_bytes"),
    Index("batch_uploads_open", "status", postgresql_where=text("status NOT IN ('completed', 'failed', 'cancelled')")),
    Index(
        "batch_uploads_accepted",
        "organization_id",
        "accepted_at",
        postgresql_where=text("accepted_at IS NOT NULL"),
    ),
    Index("batch_uploads_ended", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
)

batch_upload_audit_logs = Table(
    "batch_upload_audit_logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    organization(),
    upload(),
    Column("event_type", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("chunk_number", BigInteger),
    count("records_in_chunk"),
    count("succeeded_count"),
    count("failed_count"),
    moment("started_at"),
    Column("duration_ms", BigInteger),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    moment("created_at", now=True),
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
    *copied_into(),
    Column("row_number", BigInteger, primary_key=True, comment="as a spreadsheet shows it: the header is row 1"),
    Column("error_code", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("errors", JSONB, nullable=False, comment="[{field, code, message, value}]"),
    Column("row_data", JSONB, comment="header -> original text"),
    Column("raw_text", Text, comment="of a record that could not be parsed"),
    moment("created_at", now=True),
)

held_records = Table(
    "held_records",
    metadata,
    *copied_into(),
    Column("row_number", BigInteger, primary_key=True),
    Column("record_type", Text, nullable=False),
    Column("record_key", Text, nullable=False),
    Column("row_data", JSONB, nullable=False),
    Column("reason", JSONB, nullable=False),
    moment("created_at", now=True),
)

upload_splits = Table(
    "upload_splits",
    metadata,
    organization(),
    upload(key=True),
    Column("attempt", Integer, nullable=False),
    Column("record_type", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default=text("0"), comment="rises with each holder and resend"),
    Column("holder", Text),
    moment("lease_until"),
    Column("plan", JSONB, comment="all that the cutting depends on, pinned before the first chunk"),
    count("records_split"),
    count("bytes_read"),
    Column("chunks", BigInteger, comment="final; null until the file was read to its end"),
    Column("records", BigInteger, comment="final"),
    Column("content_sha256", LargeBinary, comment="of all its bytes; null until they were all read"),
    Column("duplicate_of", Uuid, comment="an earlier upload of the same bytes as the same record type"),
    Column("failure_code", Text),
    Column("failure_message", Text),
    moment("created_at", now=True),
    moment("split_at"),
    moment("closed_at"),
    Index("upload_splits_waiting", "created_at", postgresql_where=text("closed_at IS NULL")),
    Index("upload_splits_by_content", "organization_id", "record_type", "content_sha256"),
)

upload_lanes = Table(
    "upload_lanes",
    metadata,
    organization(),
    upload(key=True),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column(
        "next_seq", Integer, nullable=False, server_default=text("0"), comment="every chunk before it has a ledger row"
    ),
    Column("gap_epoch", Integer, nullable=False, server_default=text("-1")),
)

upload_control = Table(
    "upload_control",
    metadata,
    organization(),
    upload(key=True),
    Column("requested", Text, one_of("requested", ("run", "pause", "cancel")), nullable=False),
    Column("requested_by", Text, nullable=False),
    moment("requested_at", now=True),
    Column(
        "undo", Boolean, nullable=False, server_default=text("false"), comment="a cancelled upload's rows go out again"
    ),
    count("undone_records"),
    moment("undone_at"),
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
    *copied_into(),
    Column("chunk_number", BigInteger, primary_key=True, autoincrement=False),
    Column("lane", Integer, nullable=False),
    Column("lane_seq", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("first_row", BigInteger, nullable=False),
    Column("last_row", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("outcome", Text, one_of("outcome", ("loaded", "unprocessed")), nullable=False),
    count("succeeded_records"),
    count("failed_records"),
    count("held_records"),
    count("unprocessed_records"),
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
    organization(),
    upload(key=True),
    Column("chunk_number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    moment("tried_at", now=True),
)

partitions_in_work = Table(
    "partitions_in_work",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    moment("since", now=True),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization(),
    upload(),
    Column("chunk_number", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    moment("created_at", now=True),
    moment("redriven_at"),
    Column("error_code", Text, nullable=False, server_default=text("'UNK_001'")),
    count("records"),
    Column("first_row", BigInteger),
    Column("last_row", BigInteger),
    Index("one_dead_letter_an_attempt", "batch_upload_id", "chunk_number", "attempt", unique=True),
    Index("dead_letters_newest", "organization_id", text("created_at DESC"), text("id DESC")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization(),
    Column("topic", Text, nullable=False),
    Column("message_key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False),
    moment("created_at", now=True),
    moment("published_at"),
    Index("outbox_waiting", "created_at", postgresql_where=text("published_at IS NULL")),
    Index("outbox_published", "published_at", postgresql_where=text("published_at IS NOT NULL")),
)

message_schemas = Table(
    "message_schemas",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="CRC-64-AVRO, little-endian"),
    Column("name", Text, nullable=False),
    Column("schema", JSONB, nullable=False),
    moment("created_at", now=True),
)

sending_hold = Table(
    "sending_hold",
    metadata,
    Column("name", Text, primary_key=True, comment="why"),
    Column("until", TIMESTAMP(timezone=True), nullable=False, comment="it ends by itself, unless it is renewed"),
)

standstills = Table(
    "standstills",
    metadata,
    Column("record_type", Text, primary_key=True),
    Column(
        "until",
        TIMESTAMP(timezone=True),
        nullable=False,
        comment="it ends by itself, unless a processor meets it again",
    ),
)

record_type_tables = Table(
    "record_type_tables",
    metadata,
    Column("record_type", Text, primary_key=True),
    Column("table_name", Text, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("columns", JSONB, nullable=False, comment="column -> type, as last migrated"),
    moment("migrated_at", now=True),
)
