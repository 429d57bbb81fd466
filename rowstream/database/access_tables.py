"""The tables of who may do what, and of who did: organizations, people, keys, sessions, and the trail of acts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from rowstream.database.columns import metadata, moment, one_of, organization

DUPLICATE_POLICIES = ("refuse", "warn", "allow")
ROLES = ("owner", "admin", "operator", "reviewer", "viewer")
ACTOR_KINDS = ("key", "user", "system")
SCOPES = (
    "uploads:read",
    "uploads:write",
    "uploads:control",
    "errors:read",
    "reviews:decide",
    "acts:read",
    "members:read",
    "members:manage",
    "keys:read",
    "keys:manage",
    "organization:read",
    "organization:manage",
)


organizations = Table(
    "organizations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    moment("created_at", now=True),
    Column(
        "duplicate_policy",
        Text,
        one_of("duplicate_policy", DUPLICATE_POLICIES),
        nullable=False,
        server_default=text("'warn'"),
        comment="of a file whose bytes came before as the same record type",
    ),
    Column("max_upload_bytes", BigInteger, comment="quota: of one file; null: the setting holds"),
    Column("max_records_a_day", BigInteger, comment="quota: accepted in any 24 hours; null: none"),
    Column("max_open_uploads", Integer, comment="quota: accepted and not ended; null: none"),
    Column("requests_per_minute", Integer, comment="of all its keys and people together; null: the setting holds"),
    moment("closed_at"),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, unique=True, comment="in small letters"),
    Column("name", Text, nullable=False),
    Column("password_hash", Text, comment="argon2id; null for those who only come by a provider"),
    Column("oidc_issuer", Text),
    Column("oidc_subject", Text),
    moment("created_at", now=True),
    moment("disabled_at"),
    moment("sessions_valid_from"),
    Index("one_user_a_subject", "oidc_issuer", "oidc_subject", unique=True),
)

memberships = Table(
    "memberships",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), primary_key=True),
    Column("role", Text, one_of("role", ROLES), nullable=False),
    Column("created_by", Text, nullable=False),
    moment("created_at", now=True),
    Column("name", Text, comment="what the organization calls them; null: their own name, once they have come"),
    moment("accepted_at", comment="when they first logged in to the organization; null: only invited"),
    Index("memberships_of_a_user", "user_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    organization(),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole key"),
    moment("created_at", now=True),
    moment("expires_at"),
    moment("revoked_at"),
    Column("scopes", ARRAY(Text), comment="what it may do; null: what an operator may"),
    Column(
        "signed_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="it is never sent: requests are signed with it",
    ),
    Column("created_by", Text),
    Column("replaced_by", Uuid, comment="the key that it was rotated to; it goes on until its own end"),
    moment("last_used_at"),
    Column("last_used_from", Text),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("family_id", Uuid, nullable=False, comment="all that came from one log-in"),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    organization(),
    Column("token_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole token"),
    moment("created_at", now=True),
    Column("created_from", Text),
    moment("expires_at"),
    moment("used_at"),
    moment("revoked_at"),
    Index("refresh_tokens_of_a_family", "family_id"),
    Index("refresh_tokens_of_a_user", "user_id"),
    Index("refresh_tokens_revoked", "family_id", postgresql_where=text("revoked_at IS NOT NULL")),
    Index("refresh_tokens_by_end", "expires_at"),
)

request_nonces = Table(
    "request_nonces",
    metadata,
    Column("key_id", Uuid, ForeignKey("api_keys.id"), primary_key=True),
    Column("nonce", Text, primary_key=True),
    moment("seen_at", now=True),
    Index("request_nonces_by_age", "seen_at"),
)

acts = Table(
    "acts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    organization(),
    Column("action", Text, nullable=False, comment="what was done, such as upload.cancelled or key.made"),
    Column("batch_upload_id", Uuid, comment="to which upload, if to one"),
    Column("target", Text, comment="to what else: the id of a key, a user, a dead letter"),
    Column("actor_kind", Text, one_of("actor_kind", ACTOR_KINDS), nullable=False),
    Column("actor_id", Uuid),
    Column("actor_name", Text, nullable=False),
    Column("way", Text, nullable=False, comment="how: ui, api, ftp, s3_event, kafka, command"),
    Column("address", Text, comment="from where"),
    Column("correlation_id", Text, nullable=False),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    moment("created_at", now=True),
    Index("acts_newest", "organization_id", text("id DESC")),
    Index("acts_on_an_upload", "batch_upload_id", "id", postgresql_where=text("batch_upload_id IS NOT NULL")),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("organization_id", Uuid, ForeignKey("organizations.id"), primary_key=True),
    Column("actor", Text, primary_key=True, comment="whose key it is: two callers may use the same one"),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, path and body"),
    moment("created_at", now=True),
    moment("answered_at"),
    Column("status", Integer, comment="of the answer; null while the request runs"),
    Column("headers", JSONB, nullable=False, server_default=text("'{}'")),
    Column("body", LargeBinary),
    Index("idempotency_keys_by_age", "created_at"),
)
