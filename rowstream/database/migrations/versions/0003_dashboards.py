"""A role that dashboards read as: how uploads stand, of every organization, and never a cell of a record.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

from rowstream.database.security import DASHBOARDS, make_roles, protect

revision = "0003"
down_revision = "0002"

# Not among them: rejections and held records, which hold cells; keys; the outbox, which holds messages.
TABLES = (
    "batch_uploads",
    "batch_upload_audit_logs",
    "upload_splits",
    "upload_lanes",
    "upload_control",
    "processed_chunks",
    "chunk_attempts",
    "dead_letters",
)


def upgrade() -> None:
    for statement in make_roles((DASHBOARDS,)):
        op.execute(statement)
    for table in TABLES:
        for statement in protect(table, {DASHBOARDS: "SELECT"}):
            op.execute(statement)
    op.execute(f"GRANT SELECT ON organizations TO {DASHBOARDS}")
