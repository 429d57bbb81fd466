"""The first tables, their owners, policies and grants.

Revision ID: 0001
Revises: nothing
"""

from alembic import op

from rowstream.database.security import make_roles, protect

revision = "0001"
down_revision = None

GATEWAY, KEYS, RELAY = "rowstream_gateway", "rowstream_keys", "rowstream_relay"
SPLITTER, PROCESSOR, AUDITOR = "rowstream_splitter", "rowstream_processor", "rowstream_auditor"

# What each role may do, table by table; the tables that the processor copies into belong to it.
GRANTS = {
    "api_keys": {GATEWAY: "SELECT, INSERT, UPDATE", KEYS: "SELECT"},
    "batch_uploads": {
        GATEWAY: "SELECT, INSERT, UPDATE",
        SPLITTER: "SELECT",
        PROCESSOR: "SELECT",
        AUDITOR: "SELECT, UPDATE",
    },
    "batch_upload_audit_logs": {GATEWAY: "SELECT", AUDITOR: "SELECT, INSERT"},
    "batch_upload_errors": {GATEWAY: "SELECT"},
    "held_records": {GATEWAY: "SELECT", AUDITOR: "SELECT"},
    "upload_splits": {GATEWAY: "SELECT", SPLITTER: "SELECT, INSERT, UPDATE", PROCESSOR: "SELECT", AUDITOR: "SELECT"},
    "upload_lanes": {
        GATEWAY: "SELECT",
        SPLITTER: "SELECT, INSERT",
        PROCESSOR: "SELECT, UPDATE",
        AUDITOR: "SELECT, UPDATE",
    },
    "upload_control": {GATEWAY: "SELECT, INSERT, UPDATE", PROCESSOR: "SELECT", AUDITOR: "SELECT"},
    "processed_chunks": {GATEWAY: "SELECT", SPLITTER: "SELECT", AUDITOR: "SELECT"},
    "chunk_attempts": {PROCESSOR: "SELECT, INSERT, UPDATE, DELETE"},
    "dead_letters": {
        GATEWAY: "SELECT, UPDATE",
        SPLITTER: "SELECT, INSERT",
        PROCESSOR: "SELECT, INSERT",
        AUDITOR: "SELECT",
    },
    "outbox": {
        RELAY: "SELECT, UPDATE, DELETE",
        GATEWAY: "INSERT",
        SPLITTER: "INSERT",
        PROCESSOR: "INSERT",
        AUDITOR: "INSERT",
    },
}
COPIED_INTO = ("batch_upload_errors", "held_records", "processed_chunks")
# Not of one organization: who they are, what schemas and tables there are.
SHARED = {
    "organizations": {GATEWAY: "SELECT"},
    "message_schemas": dict.fromkeys((GATEWAY, SPLITTER, PROCESSOR, AUDITOR), "SELECT, INSERT"),
    "record_type_tables": dict.fromkeys((GATEWAY, PROCESSOR), "SELECT"),
    "alembic_version": dict.fromkeys((GATEWAY, RELAY, SPLITTER, PROCESSOR, AUDITOR), "SELECT"),
}


def upgrade() -> None:
    for statement in make_roles():
        op.execute(statement)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table, grants in GRANTS.items():
        for statement in protect(table, grants, owner=PROCESSOR if table in COPIED_INTO else None):
            op.execute(statement)
    for table, grants in SHARED.items():
        for role, privileges in grants.items():
            op.execute(f"GRANT {privileges} ON {table} TO {role}")
    for role in (PROCESSOR, AUDITOR):
        op.execute(f"GRANT REFERENCES, SELECT ON organizations, batch_uploads TO {role}")


TABLES = """
CREATE TABLE message_schemas (
    fingerprint BYTEA NOT NULL,
    name TEXT NOT NULL,
    schema JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (fingerprint)
);
COMMENT ON COLUMN message_schemas.fingerprint IS 'CRC-64-AVRO, little-endian';
CREATE TABLE organizations (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);
CREATE TABLE record_type_tables (
    record_type TEXT NOT NULL,
    table_name TEXT NOT NULL,
    version INTEGER NOT NULL,
    columns JSONB NOT NULL,
    migrated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (record_type),
    UNIQUE (table_name)
);
COMMENT ON COLUMN record_type_tables.columns IS 'column -> type, as last migrated';
CREATE TABLE api_keys (
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    name TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    UNIQUE (key_hash)
);
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the whole key';
CREATE TABLE batch_uploads (
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    status TEXT NOT NULL CONSTRAINT status_is_known CHECK (status IN ('awaiting_upload', 'pending', 'processing', 'paused', 'needs_review', 'completed', 'failed', 'cancelled')),
    version INTEGER DEFAULT 1 NOT NULL,
    attempt INTEGER DEFAULT 1 NOT NULL,
    source_type TEXT NOT NULL CONSTRAINT source_type_is_known CHECK (source_type IN ('ui', 'api', 'ftp', 's3_event', 'kafka')),
    source TEXT NOT NULL,
    source_event_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    record_type TEXT NOT NULL,
    filename TEXT NOT NULL,
    s3_bucket TEXT NOT NULL,
    s3_key TEXT NOT NULL,
    etag TEXT,
    version_id TEXT,
    size_bytes BIGINT,
    total_records BIGINT,
    processed_records BIGINT DEFAULT 0 NOT NULL,
    succeeded_records BIGINT DEFAULT 0 NOT NULL,
    failed_records BIGINT DEFAULT 0 NOT NULL,
    held_records BIGINT DEFAULT 0 NOT NULL,
    unprocessed_records BIGINT DEFAULT 0 NOT NULL,
    errors_by_code JSONB DEFAULT '{}' NOT NULL,
    failure_code TEXT,
    failure_message TEXT,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT one_upload_an_event UNIQUE (organization_id, source, source_event_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
COMMENT ON COLUMN batch_uploads.version IS 'rises with each change of status';
COMMENT ON COLUMN batch_uploads.source IS 'who hands in: CloudEvents'' source';
COMMENT ON COLUMN batch_uploads.source_event_id IS 'CloudEvents'' id, or the Idempotency-Key';
COMMENT ON COLUMN batch_uploads.traceparent IS 'W3C trace context of the request';
CREATE INDEX batch_uploads_newest ON batch_uploads (organization_id, created_at DESC, id DESC);
CREATE INDEX batch_uploads_open ON batch_uploads (status) WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX batch_uploads_ended ON batch_uploads (completed_at) WHERE completed_at IS NOT NULL;
CREATE TABLE outbox (
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    topic TEXT NOT NULL,
    message_key BYTEA NOT NULL,
    payload BYTEA NOT NULL,
    headers JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_waiting ON outbox (created_at) WHERE published_at IS NULL;
CREATE TABLE batch_upload_audit_logs (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    chunk_number BIGINT,
    records_in_chunk BIGINT DEFAULT 0 NOT NULL,
    succeeded_count BIGINT DEFAULT 0 NOT NULL,
    failed_count BIGINT DEFAULT 0 NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT,
    metadata JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
CREATE INDEX audit_logs_of_an_upload ON batch_upload_audit_logs (batch_upload_id, id);
CREATE UNIQUE INDEX one_chunk_completed_an_attempt ON batch_upload_audit_logs (batch_upload_id, chunk_number, attempt) WHERE event_type = 'chunk_completed';
CREATE TABLE batch_upload_errors (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    row_number BIGINT NOT NULL,
    error_code TEXT NOT NULL,
    error_message TEXT NOT NULL,
    errors JSONB NOT NULL,
    row_data JSONB,
    raw_text TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (batch_upload_id, row_number)
);
COMMENT ON COLUMN batch_upload_errors.row_number IS 'as a spreadsheet shows it: the header is row 1';
COMMENT ON COLUMN batch_upload_errors.errors IS '[{field, code, message, value}]';
COMMENT ON COLUMN batch_upload_errors.row_data IS 'header -> original text';
COMMENT ON COLUMN batch_upload_errors.raw_text IS 'of a record that could not be parsed';
CREATE TABLE chunk_attempts (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    chunk_number BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    last_error TEXT,
    tried_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (batch_upload_id, chunk_number, attempt),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
CREATE TABLE dead_letters (
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    chunk_number BIGINT,
    attempt INTEGER NOT NULL,
    reason TEXT NOT NULL,
    tries INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    redriven_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
CREATE TABLE held_records (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    row_number BIGINT NOT NULL,
    record_type TEXT NOT NULL,
    record_key TEXT NOT NULL,
    row_data JSONB NOT NULL,
    reason JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (batch_upload_id, row_number)
);
CREATE TABLE processed_chunks (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    chunk_number BIGINT NOT NULL,
    lane INTEGER NOT NULL,
    lane_seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    first_row BIGINT NOT NULL,
    last_row BIGINT NOT NULL,
    records BIGINT NOT NULL,
    outcome TEXT NOT NULL CONSTRAINT outcome_is_known CHECK (outcome IN ('loaded', 'unprocessed')),
    succeeded_records BIGINT DEFAULT 0 NOT NULL,
    failed_records BIGINT DEFAULT 0 NOT NULL,
    held_records BIGINT DEFAULT 0 NOT NULL,
    unprocessed_records BIGINT DEFAULT 0 NOT NULL,
    errors_by_code JSONB DEFAULT '{}' NOT NULL,
    digest BYTEA NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT NOT NULL,
    worker TEXT DEFAULT '' NOT NULL,
    announced_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (batch_upload_id, chunk_number)
);
COMMENT ON COLUMN processed_chunks.worker IS 'which processor, as host/process';
CREATE TABLE upload_control (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    requested TEXT NOT NULL CONSTRAINT requested_is_known CHECK (requested IN ('run', 'pause', 'cancel')),
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (batch_upload_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
CREATE TABLE upload_lanes (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    lane INTEGER NOT NULL,
    next_seq INTEGER DEFAULT 0 NOT NULL,
    gap_epoch INTEGER DEFAULT -1 NOT NULL,
    PRIMARY KEY (batch_upload_id, lane),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
COMMENT ON COLUMN upload_lanes.next_seq IS 'every chunk before it has a ledger row';
CREATE TABLE upload_splits (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    record_type TEXT NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    holder TEXT,
    lease_until TIMESTAMP WITH TIME ZONE,
    plan JSONB,
    records_split BIGINT DEFAULT 0 NOT NULL,
    bytes_read BIGINT DEFAULT 0 NOT NULL,
    chunks BIGINT,
    records BIGINT,
    failure_code TEXT,
    failure_message TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    split_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (batch_upload_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
COMMENT ON COLUMN upload_splits.epoch IS 'rises with each holder and resend';
COMMENT ON COLUMN upload_splits.plan IS 'all that the cutting depends on, pinned before the first chunk';
COMMENT ON COLUMN upload_splits.chunks IS 'final; null until the file was read to its end';
COMMENT ON COLUMN upload_splits.records IS 'final';
CREATE INDEX upload_splits_waiting ON upload_splits (created_at) WHERE closed_at IS NULL;
"""
