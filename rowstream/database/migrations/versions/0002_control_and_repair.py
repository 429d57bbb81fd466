"""Undo of a cancelled upload, details of what was given up on, and announcements that are due.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from rowstream.database.security import protect

revision = "0002"
down_revision = "0001"

SPLITTER, PROCESSOR = "rowstream_splitter", "rowstream_processor"

STATEMENTS = """
ALTER TABLE upload_control ADD COLUMN undo BOOLEAN DEFAULT false NOT NULL;
COMMENT ON COLUMN upload_control.undo IS 'a cancelled upload''s rows go out again';
ALTER TABLE upload_control ADD COLUMN undone_records BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE upload_control ADD COLUMN undone_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE upload_control ADD COLUMN undone_to BIGINT DEFAULT 0 NOT NULL;
COMMENT ON COLUMN upload_control.undone_to IS 'rows up to this number are out again';
CREATE INDEX upload_control_undo_due ON upload_control (requested_at) WHERE undo AND undone_at IS NULL;
ALTER TABLE dead_letters ADD COLUMN error_code TEXT DEFAULT 'UNK_001' NOT NULL;
ALTER TABLE dead_letters ADD COLUMN records BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE dead_letters ADD COLUMN first_row BIGINT;
ALTER TABLE dead_letters ADD COLUMN last_row BIGINT;
CREATE UNIQUE INDEX one_dead_letter_an_attempt ON dead_letters (batch_upload_id, chunk_number, attempt);
CREATE INDEX dead_letters_newest ON dead_letters (organization_id, created_at DESC, id DESC);
UPDATE processed_chunks SET announced_at = clock_timestamp() WHERE announced_at IS NULL;
COMMENT ON COLUMN processed_chunks.announced_at IS 'when its accepted records were announced, or that they need not be; null while they are due';
CREATE INDEX processed_chunks_unannounced ON processed_chunks (batch_upload_id) WHERE announced_at IS NULL;
CREATE TABLE partitions_in_work (
	topic TEXT NOT NULL,
	partition INTEGER NOT NULL,
	worker TEXT NOT NULL,
	since TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_partitions_in_work PRIMARY KEY (topic, partition)
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
    op.execute(f"GRANT UPDATE ON upload_control TO {PROCESSOR}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON partitions_in_work TO {PROCESSOR}")
    for statement in (
        *protect("upload_control", {SPLITTER: "SELECT"}),
        *protect("batch_upload_audit_logs", {PROCESSOR: "SELECT"}),
    ):
        op.execute(statement)
