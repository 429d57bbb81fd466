"""Who may do what and who did: people, roles, scopes, sessions; files on their way in; the content of files.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

from rowstream.database.security import DASHBOARDS, OWN, protect

revision = "0005"
down_revision = "0004"

GATEWAY, KEYS, SPLITTER = "rowstream_gateway", "rowstream_keys", "rowstream_splitter"

# What is of one organization; the gateway sees the one that it acts for. Nobody may change the trail of acts.
GRANTS = {
    "memberships": {GATEWAY: "SELECT, INSERT, UPDATE, DELETE", KEYS: "SELECT"},
    "acts": {GATEWAY: "SELECT, INSERT", KEYS: "INSERT"},
    "refresh_tokens": {KEYS: "SELECT, INSERT, UPDATE, DELETE"},
    "idempotency_keys": {GATEWAY: "SELECT, INSERT, UPDATE, DELETE"},
    "multipart_uploads": {GATEWAY: "SELECT, INSERT, UPDATE"},
    "s3_objects_taken": {GATEWAY: "SELECT, INSERT, UPDATE"},
    "sftp_files": {GATEWAY: "SELECT, INSERT, UPDATE, DELETE"},
}
# Of no organization: who asks is found out before it is known for whom.
SHARED = {
    "users": {KEYS: "SELECT, INSERT, UPDATE"},
    "request_nonces": {KEYS: "SELECT, INSERT, DELETE"},
    "organizations": {KEYS: "SELECT", SPLITTER: "SELECT", GATEWAY: "UPDATE (name, duplicate_policy)"},
}
_SEE_ALL_ORGANIZATIONS = (KEYS, SPLITTER, "rowstream_processor", "rowstream_auditor", DASHBOARDS)
_COLLEAGUE = f"EXISTS (SELECT FROM memberships WHERE user_id = users.id AND {OWN})"


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
    for table, grants in GRANTS.items():
        for statement in protect(table, grants):
            op.execute(statement)
    for table, grants in SHARED.items():
        for role, privileges in grants.items():
            op.execute(f"GRANT {privileges} ON {table} TO {role}")
    # Names and addresses of people are for those who share an organization with them, hashes for nobody.
    op.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT (id, email, name, created_at, disabled_at) ON users TO {GATEWAY}")
    op.execute(f"CREATE POLICY {GATEWAY} ON users FOR SELECT TO {GATEWAY} USING ({_COLLEAGUE})")
    op.execute(f"CREATE POLICY {KEYS} ON users TO {KEYS} USING (true) WITH CHECK (true)")
    # Who else is here, and what they may use, is nobody's business; quotas are for operators.
    own = OWN.replace("organization_id", "id", 1)
    op.execute("ALTER TABLE organizations ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {GATEWAY} ON organizations TO {GATEWAY} USING ({own}) WITH CHECK ({own})")
    for role in _SEE_ALL_ORGANIZATIONS:
        op.execute(f"CREATE POLICY {role} ON organizations FOR SELECT TO {role} USING (true)")
    op.execute(f"GRANT UPDATE (last_used_at, last_used_from) ON api_keys TO {KEYS}")
    op.execute(FREEZE_ACTS)


FREEZE_ACTS = """
CREATE FUNCTION refuse_change_of_acts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was done is not changed afterwards';
END $$;
CREATE TRIGGER acts_stay BEFORE UPDATE OR DELETE ON acts FOR EACH ROW EXECUTE FUNCTION refuse_change_of_acts();
CREATE TRIGGER acts_stay_all BEFORE TRUNCATE ON acts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_acts()
"""

STATEMENTS = """
CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT,
    oidc_issuer TEXT,
    oidc_subject TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    sessions_valid_from TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    UNIQUE (email)
);
COMMENT ON COLUMN users.email IS 'in small letters';
COMMENT ON COLUMN users.password_hash IS 'argon2id; null for those who only come by a provider';
CREATE UNIQUE INDEX one_user_a_subject ON users (oidc_issuer, oidc_subject);
CREATE TABLE memberships (
    organization_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL CONSTRAINT role_is_known CHECK (role IN ('owner', 'admin', 'operator', 'reviewer', 'viewer')),
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (organization_id, user_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX memberships_of_a_user ON memberships (user_id);
CREATE TABLE refresh_tokens (
    id UUID NOT NULL,
    family_id UUID NOT NULL,
    user_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    created_from TEXT,
    expires_at TIMESTAMP WITH TIME ZONE,
    used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    UNIQUE (token_hash)
);
COMMENT ON COLUMN refresh_tokens.family_id IS 'all that came from one log-in';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256 of the whole token';
CREATE INDEX refresh_tokens_of_a_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_of_a_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_revoked ON refresh_tokens (family_id) WHERE revoked_at IS NOT NULL;
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
CREATE TABLE request_nonces (
    key_id UUID NOT NULL,
    nonce TEXT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (key_id, nonce),
    FOREIGN KEY(key_id) REFERENCES api_keys (id)
);
CREATE INDEX request_nonces_by_age ON request_nonces (seen_at);
CREATE TABLE acts (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    organization_id UUID NOT NULL,
    action TEXT NOT NULL,
    batch_upload_id UUID,
    target TEXT,
    actor_kind TEXT NOT NULL CONSTRAINT actor_kind_is_known CHECK (actor_kind IN ('key', 'user', 'system')),
    actor_id UUID,
    actor_name TEXT NOT NULL,
    way TEXT NOT NULL,
    address TEXT,
    correlation_id TEXT NOT NULL,
    details JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
COMMENT ON COLUMN acts.action IS 'what was done, such as upload.cancelled or key.made';
COMMENT ON COLUMN acts.batch_upload_id IS 'to which upload, if to one';
COMMENT ON COLUMN acts.target IS 'to what else: the id of a key, a user, a dead letter';
COMMENT ON COLUMN acts.way IS 'how: ui, api, ftp, s3_event, kafka, command';
COMMENT ON COLUMN acts.address IS 'from where';
CREATE INDEX acts_newest ON acts (organization_id, id DESC);
CREATE INDEX acts_on_an_upload ON acts (batch_upload_id, id) WHERE batch_upload_id IS NOT NULL;
CREATE TABLE idempotency_keys (
    organization_id UUID NOT NULL,
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    status INTEGER,
    headers JSONB DEFAULT '{}' NOT NULL,
    body BYTEA,
    PRIMARY KEY (organization_id, actor, key),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
COMMENT ON COLUMN idempotency_keys.actor IS 'whose key it is: two callers may use the same one';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of method, path and body';
COMMENT ON COLUMN idempotency_keys.status IS 'of the answer; null while the request runs';
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE TABLE multipart_uploads (
    organization_id UUID NOT NULL,
    batch_upload_id UUID NOT NULL,
    s3_upload_id TEXT NOT NULL,
    part_bytes BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    aborted_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (batch_upload_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id),
    FOREIGN KEY(batch_upload_id) REFERENCES batch_uploads (id)
);
COMMENT ON COLUMN multipart_uploads.part_bytes IS 'of each part but the last';
CREATE INDEX multipart_uploads_open ON multipart_uploads (created_at) WHERE completed_at IS NULL AND aborted_at IS NULL;
CREATE TABLE s3_objects_taken (
    organization_id UUID NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    sequencer TEXT,
    version_id TEXT,
    etag TEXT,
    batch_upload_id UUID,
    taken_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (organization_id, bucket, key),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
COMMENT ON COLUMN s3_objects_taken.sequencer IS 'of the newest event that was heeded; compares as text of equal length';
CREATE TABLE sftp_files (
    organization_id UUID NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    modified_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL CONSTRAINT state_is_known CHECK (state IN ('seen', 'taking', 'taken', 'left')),
    s3_key TEXT,
    batch_upload_id UUID,
    reason TEXT,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (organization_id, source, path, size_bytes, modified_at),
    FOREIGN KEY(organization_id) REFERENCES organizations (id)
);
COMMENT ON COLUMN sftp_files.source IS 'the name of the server in the sources file';
COMMENT ON COLUMN sftp_files.s3_key IS 'where it is being stored, or was; a new one each time that it is taken on';
COMMENT ON COLUMN sftp_files.reason IS 'why it was left where it is';
ALTER TABLE organizations ADD COLUMN duplicate_policy TEXT DEFAULT 'warn' NOT NULL CONSTRAINT duplicate_policy_is_known CHECK (duplicate_policy IN ('refuse', 'warn', 'allow'));
COMMENT ON COLUMN organizations.duplicate_policy IS 'of a file whose bytes came before as the same record type';
ALTER TABLE organizations ADD COLUMN max_upload_bytes BIGINT;
COMMENT ON COLUMN organizations.max_upload_bytes IS 'quota: of one file; null: the setting holds';
ALTER TABLE organizations ADD COLUMN max_records_a_day BIGINT;
COMMENT ON COLUMN organizations.max_records_a_day IS 'quota: accepted in any 24 hours; null: none';
ALTER TABLE organizations ADD COLUMN max_open_uploads INTEGER;
COMMENT ON COLUMN organizations.max_open_uploads IS 'quota: accepted and not ended; null: none';
ALTER TABLE organizations ADD COLUMN requests_per_minute INTEGER;
COMMENT ON COLUMN organizations.requests_per_minute IS 'of all its keys and people together; null: the setting holds';
ALTER TABLE organizations ADD COLUMN closed_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD COLUMN scopes TEXT[];
COMMENT ON COLUMN api_keys.scopes IS 'what it may do; null: what an operator may';
ALTER TABLE api_keys ADD COLUMN signed_only BOOLEAN DEFAULT false NOT NULL;
COMMENT ON COLUMN api_keys.signed_only IS 'it is never sent: requests are signed with it';
ALTER TABLE api_keys ADD COLUMN created_by TEXT;
ALTER TABLE api_keys ADD COLUMN replaced_by UUID;
COMMENT ON COLUMN api_keys.replaced_by IS 'the key that it was rotated to; it goes on until its own end';
ALTER TABLE api_keys ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT;
CREATE INDEX batch_uploads_accepted ON batch_uploads (organization_id, accepted_at) WHERE accepted_at IS NOT NULL;
ALTER TABLE batch_uploads ADD COLUMN created_by_kind TEXT DEFAULT 'key' NOT NULL;
COMMENT ON COLUMN batch_uploads.created_by_kind IS 'key, user or system';
ALTER TABLE batch_uploads ADD COLUMN created_by_id UUID;
COMMENT ON COLUMN batch_uploads.created_by_id IS 'of that key or user';
ALTER TABLE batch_uploads ADD COLUMN created_from TEXT;
COMMENT ON COLUMN batch_uploads.created_from IS 'the address that it came from';
ALTER TABLE upload_splits ADD COLUMN content_sha256 BYTEA;
COMMENT ON COLUMN upload_splits.content_sha256 IS 'of all its bytes; null until they were all read';
ALTER TABLE upload_splits ADD COLUMN duplicate_of UUID;
COMMENT ON COLUMN upload_splits.duplicate_of IS 'an earlier upload of the same bytes as the same record type';
CREATE INDEX batch_uploads_by_size ON batch_uploads (organization_id, record_type, size_bytes);
CREATE INDEX upload_splits_by_content ON upload_splits (organization_id, record_type, content_sha256)
"""
