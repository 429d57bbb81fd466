"""A word to all splitters: send nothing new for now.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
CREATE TABLE sending_hold (
    name TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (name)
);
COMMENT ON COLUMN sending_hold.name IS 'why';
COMMENT ON COLUMN sending_hold.until IS 'it ends by itself, unless it is renewed';
GRANT SELECT ON sending_hold TO rowstream_splitter
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
