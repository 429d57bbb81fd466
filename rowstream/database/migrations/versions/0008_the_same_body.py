"""What an Idempotency-Key was used for, where the request's body was the file itself.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("ALTER TABLE batch_uploads ADD COLUMN body_sha256 BYTEA")
    op.execute(
        "COMMENT ON COLUMN batch_uploads.body_sha256 IS"
        " 'of the first whole body that came under its Idempotency-Key, where the body is the file'"
    )
